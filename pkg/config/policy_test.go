package config

import (
	"slices"
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
	wantTrip(t, ParseRoute, "/=web,retry-on=resource-exhausted+unavailable")
	wantTrip(t, ParseService, "web,retry-on=none")
	wantRefused(t, ParseL7, ":1,retry-on=ok", "statuses of gRPC")
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

func TestCookie(t *testing.T) {
	t.Parallel()
	wantTrip(t, ParseService, "web,sticky=cookie:sid,cookie-path=/app,cookie-domain=example.com,cookie-same-site=none,cookie-secure=true,cookie-http-only=false,cookie-max-age=1h0m0s")
	wantTrip(t, ParseService, "web,sticky=cookie:__Host-sid,cookie-path=/,cookie-same-site=strict,cookie-secure=true")
	wantRefused(t, ParseService, "web,cookie-path=/", "need sticky=cookie")
	wantRefused(t, ParseService, "web,sticky=client,cookie-secure=true", "need sticky=cookie")
	wantRefused(t, ParseService, "web,sticky=cookie,cookie-path=app", "begins with /")
	wantRefused(t, ParseService, "web,sticky=cookie,cookie-path=/;x", "begins with /")
	wantRefused(t, ParseService, "web,sticky=cookie,cookie-domain=a;b", "is not a domain")
	wantRefused(t, ParseService, "web,sticky=cookie,cookie-same-site=maybe", "none of lax")
	wantRefused(t, ParseService, "web,sticky=cookie,cookie-secure=maybe", "none of auto")
	wantRefused(t, ParseService, "web,sticky=cookie,cookie-max-age=1ms", "less than a second")
	wantRefused(t, ParseService, "web,sticky=cookie,cookie-same-site=none,cookie-secure=false", "browsers refuse")
	wantRefused(t, ParseService, "web,sticky=cookie:__Host-a,cookie-secure=true,cookie-domain=a.b", "has no domain")
	wantRefused(t, ParseService, "web,sticky=cookie:__Secure-a", "needs cookie-secure=true")
}

func TestCheckKeys(t *testing.T) {
	t.Parallel()
	wantTrip(t, ParseService, `web,check=http:/h?a=1\,2 status=200\,404 host=a.test`)
	s, err := ParseService(`web,check-status=200|404,check=http:/h,check-host=a.test,check-header=X: a\,b,check-body=all good,check-port=81,check-method=POST`)
	if want := `http:/h status="200|404" host="a.test" header="X: a,b" body="all good" port="81" method="POST"`; err != nil || s.Check != want {
		t.Errorf("unexpected check; got %q, %v; want %q", s.Check, err, want)
	}
	wantTrip(t, ParseService, strings.ReplaceAll(s.String(), `\\`, `\`))
	s, err = ParseService(`redis,check=tcp,check-send=PING\r\n,check-expect=+PONG`)
	if want := `tcp send="PING\r\n" expect="+PONG"`; err != nil || s.Check != want {
		t.Errorf("unexpected check; got %q, %v; want %q", s.Check, err, want)
	}
	s, err = ParseService(`redis,check=tcp,check-send="PING\r\n",check-expect="+PONG"`)
	if want := `tcp send="PING\r\n" expect="+PONG"`; err != nil || s.Check != want {
		t.Errorf("unexpected check of texts in quotes; got %q, %v; want %q", s.Check, err, want)
	}
	wantRefused(t, ParseService, "web,check-host=a", "needs check=")
	wantRefused(t, ParseService, "web,check=tcp,check-status=200", "unknown option")
	wantRefused(t, ParseService, "web,check=http:/%zz", "cannot be asked for")
	wantRefused(t, ParseService, "web,check=http://:8008/primary", "no host and no port")
	wantRefused(t, ParseService, "web,check=none,check-port=1", "no options")
}

func TestLogFields(t *testing.T) {
	t.Parallel()
	all, err := LogFields("query, user-agent,referer,request:X-A,response:Content-Type").Parse()
	want := []LogField{
		{"query", "query", ""}, {"user_agent", "request", "user-agent"}, {"referer", "request", "referer"},
		{"request.x-a", "request", "x-a"}, {"response.content-type", "response", "content-type"},
	}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("unexpected fields; got %v, %v; want %v", all, err, want)
	}
	for _, bad := range []string{"cookie", "request", "request:", "request:a b", "query:x", "query,query", strings.Repeat("request:x,", 2)} {
		if got, err := LogFields(bad).Parse(); err == nil {
			t.Errorf("unexpected success of %q: %v", bad, got)
		}
	}
	c := Default()
	c.Demo, c.AccessLogFields = true, "query"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "--access-log-fields") {
		t.Errorf("unexpected problems without a log: %v", err)
	}
}

func TestEarlyHints(t *testing.T) {
	t.Parallel()
	wantTrip(t, ParseL7, ":1,early-hints=false")
	wantTrip(t, ParseRoute, "/=web,early-hints=true")
	wantTrip(t, ParseService, "web,early-hints=false")
	wantRefused(t, ParseRoute, "/=web,early-hints=maybe", "neither true nor false")
}

func TestHeaderEdits(t *testing.T) {
	t.Parallel()
	const edits = `,request-header=set:X-A: a\, ${client},request-header=remove:X-B*,response-header=add:Vary: Origin`
	wantTrip(t, ParseL7, ":1"+edits)
	wantTrip(t, ParseRoute, "/=web"+edits)
	wantTrip(t, ParseService, "web"+edits)
	wantTrip(t, ParseRoute, "/=,redirect=301:https://a,response-header=set:X: y")
	wantRefused(t, ParseRoute, "/=web,request-header=set:Content-Length: 1", "frames")
	wantRefused(t, ParseRoute, "/=web,request-header=set:X: $nope", "known are client")
	wantRefused(t, ParseService, "web,response-header=Server", "none of set:")
	wantRefused(t, ParseRoute, "/=,redirect=301:https://a,request-header=set:X: y", "of no use")
}

func TestAuthKeys(t *testing.T) {
	t.Parallel()
	wantTrip(t, ParseAuth, `staff=/etc/a\,b,realm=The "staff",forward=true`)
	wantTrip(t, ParseL7, ":1,auth=staff")
	wantTrip(t, ParseRoute, "/=web,auth=off")
	wantRefused(t, ParseAuth, "staff", "want NAME=FILE")
	wantRefused(t, ParseAuth, "off=/f", "cannot be a name")
	wantRefused(t, ParseAuth, "a=", "has no file")
	wantRefused(t, ParseAuth, "a=/f,realm=\n", "control")
	wantRefused(t, ParseRoute, "/=,redirect=301:https://a,auth=x", "of no use")
	wantRefused(t, ParseRoute, "/=web,auth=", "auth=off")
	c := Default()
	c.L7 = []L7{{Addr: ":1"}}
	c.Routes = []Route{{Path: "/", Service: "web", AuthName: AuthName{"staff"}}}
	c.Consul = "127.0.0.1:8500"
	c.Auths = []Auth{{Name: "other", File: "/f"}, {Name: "other", File: "/f"}}
	err := c.Validate()
	for _, want := range []string{`--route: "/" has auth=staff, but there is no --auth staff=FILE`, `--auth: "other" is never used`, `--auth: "other" is set twice`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("unexpected problems; got %v; want %q", err, want)
		}
	}
}

func TestClientCA(t *testing.T) {
	t.Parallel()
	wantTrip(t, ParseL7, ":1,tls-cert=/c,client-ca=/ca.pem,client-cert=optional")
	wantTrip(t, ParseL4, ":1=db,tls-cert=/c,client-ca=/ca.pem")
	wantRefused(t, ParseL7, ":1,client-ca=/ca.pem", "needs tls-cert=")
	wantRefused(t, ParseL7, ":1,tls-cert=/c,client-cert=optional", "needs client-ca=")
	wantRefused(t, ParseL7, ":1,tls-cert=/c,client-ca=/c,client-cert=maybe", "neither required nor optional")
	if _, err := merged([]L4{
		{Certificate: Certificate{ClientCA: "/a"}}, {Certificate: Certificate{}}, {Certificate: Certificate{ClientCA: "/a", ClientCert: "optional"}},
	}); err == nil || !strings.Contains(err.Error(), "differs between names") {
		t.Errorf("unexpected result of parts that differ: %v", err)
	}
}

func TestMirrorKeys(t *testing.T) {
	t.Parallel()
	wantTrip(t, ParseRoute, "/=web,mirror=next:2.5,mirror-body=1024")
	if r, err := ParseRoute("/=web,mirror=next"); err != nil || r.Mirror.Percent != 100 {
		t.Errorf("unexpected mirror: %+v, %v", r.Mirror, err)
	}
	wantRefused(t, ParseRoute, "/=web,mirror=next:101", "is not SERVICE")
	wantRefused(t, ParseRoute, "/=web,mirror=a b", "mirror: service name")
	wantRefused(t, ParseRoute, "/=web,mirror-body=1k", "needs mirror=")
	wantRefused(t, ParseRoute, "/=web,mirror=a,mirror-body=2m", "more than 1m")
	wantRefused(t, ParseRoute, "/=,redirect=301:https://a,mirror=x", "of no use")
	c := Default()
	c.L7 = []L7{{Addr: ":1"}}
	c.Routes = []Route{{Path: "/", Service: "web", Mirror: Mirror{To: "shadow", Percent: 1}}}
	c.Backends = []Backend{{Service: "web", Addr: "h:1"}}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `--route: service "shadow" is not known`) {
		t.Errorf("unexpected problems: %v", err)
	}
}
