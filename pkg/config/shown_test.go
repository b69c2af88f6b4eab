package config

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestShown masks credentials in headers, in whatever setting they are.
func TestShown(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`/=web,request-header=set:Authorization: Bearer s3cret,strip=/x`:     `/=web,request-header=set:Authorization: ***,strip=/x`,
		`/=web,request-header=add:X-Api-Key:a\,s3cret "x",prepend=/y`:        `/=web,request-header=add:X-Api-Key:***,prepend=/y`,
		`/=web,header=X-Auth-Token:s3cret`:                                   `/=web,header=X-Auth-Token:***`,
		`web,check=http:/ header="authorization: Basic \"s3cret" status=2xx`: `web,check=http:/ header="authorization: ***" status=2xx`,
		`:80,response-header=set:Set-Cookie: a=s3cret; Path=/`:               `:80,response-header=set:Set-Cookie: ***`,
		`/=web,header=X-Token,request-header=remove:Cookie,auth=secrets`:     `/=web,header=X-Token,request-header=remove:Cookie,auth=secrets`,
		`web,sticky=cookie:token:x,sticky=header:X-Api-Key`:                  `web,sticky=cookie:token:x,sticky=header:X-Api-Key`,
		`/=web,request-header=set:X-Env: prod`:                               `/=web,request-header=set:X-Env: prod`,
	} {
		if got := Shown(value); got != want {
			t.Errorf("unexpected value; got %s; want %s", got, want)
		}
	}
	c := Default()
	rt, err := ParseRoute("/=web,request-header=set:Authorization: Bearer s3cret")
	if err != nil {
		t.Fatal(err)
	}
	c.Routes = []Route{rt}
	settings, err := c.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if data, err := json.Marshal(settings); err != nil || strings.Contains(string(data), "s3cret") || !strings.Contains(string(data), "Authorization: ***") {
		t.Errorf("unexpected settings: %s, error %v", data, err)
	}
}
