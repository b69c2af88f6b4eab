package config

import (
	"strings"
	"testing"
	"time"
)

// wantTrip checks that what is parsed prints as it was written.
func wantTrip[T interface{ String() string }](t *testing.T, parse func(string) (T, error), spec string) {
	t.Helper()
	v, err := parse(spec)
	if err != nil {
		t.Errorf("unexpected error for %q: %v", spec, err)
	} else if got := v.String(); got != spec {
		t.Errorf("unexpected round trip; got %q; want %q", got, spec)
	}
}

func wantRefused[T any](t *testing.T, parse func(string) (T, error), spec, want string) {
	t.Helper()
	if _, err := parse(spec); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("unexpected error for %q; got %v; want one with %q", spec, err, want)
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	wantTrip(t, ParseL4, ":1=db,connect-timeout=1s,retries=0,idle-timeout=0s,fin-timeout=5s")
	wantTrip(t, ParseL7, ":1,max-head=65536,max-fields=50,max-target=8192,head-timeout=3s,idle-timeout=0s,fin-timeout=0s,connect-timeout=1s,retries=1,response-timeout=0s,body-timeout=1m0s")
	wantTrip(t, ParseRoute, "/=web,strip=/,connect-timeout=1s,retries=2,response-timeout=1m0s,body-timeout=0s")
	wantTrip(t, ParseService, "web,connect-timeout=1s,retries=2,response-timeout=1m0s,body-timeout=0s,idle-timeout=1s,fin-timeout=2s")
	wantRefused(t, ParseL4, ":1=db,connect-timeout=0", "not above 0")
	wantRefused(t, ParseL4, ":1=db,response-timeout=1s", "unknown key")
	wantRefused(t, ParseL7, ":1,retries=3", "from 0, for none, to 2")
	wantRefused(t, ParseL7, ":1,head-timeout=0s", "not above 0")
	wantRefused(t, ParseL7, ":1,idle-timeout=-1s", "not a duration")
	wantRefused(t, ParseL7, ":1,max-head=10", "from 1024 bytes")
	wantRefused(t, ParseL7, ":1,max-target=2m", "to 1m")
	wantRefused(t, ParseL7, ":1,max-fields=0", "from 1 to")
	wantRefused(t, ParseL7, ":1,max-head=2k,max-target=2k", "does not fit")
	wantRefused(t, ParseRoute, "/=web,idle-timeout=1s", "unknown key")
	wantRefused(t, ParseRoute, "/=,redirect=301:https://a,retries=0", "forwards nothing")

	for spec, want := range map[string]string{
		"web,response-timeout=1s": "no --route leads to it",
		"web,connect-timeout=1m":  "more than --l4-connect-deadline 5s",
		"db,fin-timeout=1s":       "no --l4 leads to it",
	} {
		c := Default()
		c.L4 = []L4{{Addr: ":1", Service: "web"}}
		c.L7 = []L7{{Addr: ":2"}}
		c.Routes = []Route{{Path: "/", Service: "db"}}
		c.Consul = "127.0.0.1:8500"
		s, err := ParseService(spec)
		if err != nil {
			t.Fatal(err)
		}
		c.Services = []Service{s}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("unexpected problems with %q; got %v; want one with %q", spec, err, want)
		}
	}
	one := time.Second
	if got := (Waits{ConnectTimeout: &one}).Over(Waits{Retries: new(int)}); got.ConnectTimeout != &one || got.Retries == nil {
		t.Errorf("unexpected sum of limits: %+v", got)
	}
}
