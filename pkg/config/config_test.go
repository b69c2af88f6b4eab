package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseSuccess(t *testing.T) {
	t.Parallel()
	// What is parsed prints as it was written, options in a fixed order.
	f := func(got any, err error, spec string) {
		t.Helper()
		if err != nil {
			t.Fatalf("unexpected error for %q: %v", spec, err)
		}
		if s := got.(interface{ String() string }).String(); s != spec {
			t.Fatalf("unexpected round trip; got %q; want %q", s, spec)
		}
	}
	l4 := func(s string) { t.Helper(); v, err := ParseL4(s); f(v, err, s) }
	l4(":5432=postgres")
	l4("[::1]:0=a.b-c_d")
	l4("127.0.0.1:80=web,max-conns=10,max-conns-per-client=3,max-rate-per-client=2")
	l7 := func(s string) { t.Helper(); v, err := ParseL7(s); f(v, err, s) }
	l7(":80")
	l7("0.0.0.0:8080,max-conns=3")
	route := func(s string) { t.Helper(); v, err := ParseRoute(s); f(v, err, s) }
	route("/=web")
	route("example.com/api=api,strip=/api")
	route("/a=b=web") // the last = counts
	backend := func(s string) { t.Helper(); v, err := ParseBackend(s); f(v, err, s) }
	backend("web=10.0.0.1:80")
	backend("web=[fe80::1]:80,weight=0,zone=a")
	backend("web=app.local:80,weight=65535")
	service := func(s string) { t.Helper(); v, err := ParseService(s); f(v, err, s) }
	service("web,strategy=least_conn,consul=web-prod,tag=v2,check=http:/health?full=1")
	service("web,check=none")
}

func TestParseFailure(t *testing.T) {
	t.Parallel()
	f := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %v; want one with %q", err, want)
		}
	}
	l4 := func(s, want string) { t.Helper(); _, err := ParseL4(s); f(err, want) }
	l4("", "want ADDR=SERVICE")
	l4(":80", "want ADDR=SERVICE")
	l4("80=web", "is not [HOST]:PORT")
	l4(":http=web", "is not a number from 0 to 65535")
	l4(":70000=web", "is not a number from 0 to 65535")
	l4(":80=", "has no name")
	l4(":80=we b", "has a character other than")
	l4(":80=web,foo=1", `unknown key "foo"; known are`)
	l4(":80=web,max-conns", "is not key=value")
	l4(":80=web,max-conns=x", "is not a number from 0 up")
	l4(":80=web,max-conns=1,max-conns=2", "comes twice")
	l7 := func(s, want string) { t.Helper(); _, err := ParseL7(s); f(err, want) }
	l7("8080", "is not [HOST]:PORT")
	l7(":80=web", "is not a number")
	route := func(s, want string) { t.Helper(); _, err := ParseRoute(s); f(err, want) }
	route("web", "want [HOST]/PATH=SERVICE")
	route("/", "want [HOST]/PATH=SERVICE")
	route("a=b/", "want [HOST]/PATH=SERVICE")
	route("host:80/=web", "has a port")
	route("/api=web,strip=/x", "is not a prefix of the path")
	route("/apix=web,strip=/api", "is not a prefix of the path")
	route("/a/../b=web", "dot segment")
	route("ex*mple/=web", "is not a host name")
	route("/a?b=web", "is not a path")
	backend := func(s, want string) { t.Helper(); _, err := ParseBackend(s); f(err, want) }
	backend("web", "want SERVICE=HOST:PORT")
	backend("web=10.0.0.1", "is not HOST:PORT")
	backend("web=10.0.0.1:0", "from 1 to 65535")
	backend("web=:80", "is not a host")
	backend("web=h:80,weight=-1", "is not a number from 0 up")
	backend("web=h:80,weight=65536", "above 65535")
	service := func(s, want string) { t.Helper(); _, err := ParseService(s); f(err, want) }
	service("", "has no name")
	service("web,strategy=fastest", "unknown strategy")
	service("web,check=ping", "unknown check")
	if _, err := ParseCIDR("10.0.0.0/33"); err == nil {
		t.Fatal("unexpected success for a bad network")
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, path, `
l4:
  - :5432=postgres
  - {addr: ":6379", service: redis, max-conns: 7}
l7: [":80"]
route:
  - /=web
  - {host: Example.com, path: /api, service: api, strip: /api}
backend:
  - web=10.0.0.1:80
  - {service: api, addr: "10.0.0.2:80", weight: 3}
l4-idle-timeout: 90s
trusted-proxy: [10.0.0.0/8, 192.168.1.1]
admin-token: s3cret
`)
	got := Default()
	if err := got.Load(path); err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.L4 = []L4{{Addr: ":5432", Service: "postgres"}, {Addr: ":6379", Service: "redis", ConnLimits: ConnLimits{MaxConns: 7}}}
	want.L7 = []L7{{Addr: ":80"}}
	want.Routes = []Route{{"", "/", "web", ""}, {"example.com", "/api", "api", "/api"}}
	want.Backends = []Backend{{"web", "10.0.0.1:80", 1, ""}, {"api", "10.0.0.2:80", 3, ""}}
	want.L4IdleTimeout = 90 * time.Second
	for _, s := range []string{"10.0.0.0/8", "192.168.1.1"} {
		c, err := ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		want.TrustedProxies = append(want.TrustedProxies, c)
	}
	want.AdminToken = "s3cret"
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("unexpected configuration\ngot  %+v\nwant %+v", got, want)
	}

	settings, err := got.Settings()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(data); strings.Contains(s, "s3cret") || !strings.Contains(s, `"admin-token":"***"`) ||
		!strings.Contains(s, `"l4-idle-timeout":"1m30s"`) || !strings.Contains(s, "example.com/api=api,strip=/api") {
		t.Fatalf("unexpected settings: %s", s)
	}
}

func TestLoadFailure(t *testing.T) {
	t.Parallel()
	f := func(content string, want ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "sluice.yaml")
		write(t, path, content)
		c := Default()
		err := c.Load(path)
		if err == nil {
			t.Fatalf("unexpected success for %q", content)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Fatalf("unexpected error for %q; got %v; want one with %q", content, err, w)
			}
		}
	}
	// All at once, each with its line.
	f("l5: x\nl4: [bad]\nroute:\n- {path: x, service: web}\ndrain-delay: soon\n",
		`line 1: unknown setting "l5"`, `line 2: "bad": want ADDR=SERVICE`, `line 4: path "x"`, "line 5:")
	f("l4: [", "sluice.yaml")
	f("l7: [{addr: ':80', foo: 1}]", `unknown key "foo"`)
	f("l7: [{addr: ':80', max-conns: [1]}]", "wants a single value")
	f("l7: [[1]]", "want a string or a mapping")

	c := Default()
	if err := c.Load("/nonexistent/x.yaml"); err == nil || !strings.Contains(err.Error(), `--config: cannot read "/nonexistent/x.yaml": no such file`) {
		t.Fatalf("unexpected error for a missing file: %v", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	f := func(change func(*Config), want ...string) {
		t.Helper()
		c := Default()
		c.L4 = []L4{{Addr: ":5432", Service: "db"}}
		c.Backends = []Backend{{Service: "db", Addr: "10.0.0.1:5432", Weight: 1}}
		change(&c)
		err := c.Validate()
		if len(want) == 0 && err != nil {
			t.Fatalf("unexpected problems: %v", err)
		}
		var got []string
		if err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		if len(got) != len(want) {
			t.Fatalf("unexpected problems; got %q; want %q", got, want)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Fatalf("unexpected problem; got %q; want %q", got[i], want[i])
			}
		}
	}
	f(func(*Config) {})
	f(func(c *Config) { *c = Default(); c.Demo = true })
	f(func(c *Config) { *c = Default() }, "--l4: nothing to listen on")
	f(func(c *Config) { c.L7 = []L7{{Addr: ":80"}} }, "--l7: \":80\" has nowhere to send")
	f(func(c *Config) { c.Routes = []Route{{Path: "/", Service: "db"}} }, "--route: \"/=db\" is never used")
	f(func(c *Config) { c.L7 = []L7{{Addr: ":5432"}}; c.Routes = []Route{{Path: "/", Service: "db"}} },
		"--l7: address \":5432\" is taken by --l4")
	f(func(c *Config) { c.Admin = ":5432"; c.AdminToken = "x" }, "--admin: address")
	f(func(c *Config) {
		c.L7 = []L7{{Addr: ":80"}}
		c.Routes = []Route{{Path: "/", Service: "web"}, {Path: "/", Service: "db"}}
	}, "--route: \"/\" is set twice", "--route: service \"web\" is not known")
	f(func(c *Config) { c.Backends = nil }, "--l4: service \"db\" is not known")
	f(func(c *Config) { c.Backends = nil; c.Consul = "127.0.0.1:8500" })
	f(func(c *Config) { c.Backends = append(c.Backends, Backend{Service: "x", Addr: "h:1"}) }, "--backend: ")
	f(func(c *Config) { c.Backends = append(c.Backends, c.Backends[0]) }, "--backend: \"db=10.0.0.1:5432\" is set twice")
	f(func(c *Config) { c.Services = []Service{{Name: "x"}} }, "--service: \"x\" is never used")
	f(func(c *Config) { c.Services = []Service{{Name: "db"}, {Name: "db"}} }, "--service: \"db\" is set twice")
	f(func(c *Config) { c.Services = []Service{{Name: "db", Consul: "pg"}} }, "--service: \"db\" has consul= or tag= but its members")
	f(func(c *Config) { c.Strategy = "fastest" }, "--strategy: unknown strategy")
	f(func(c *Config) { c.HealthInterval, c.HealthTimeout = 0, -1 }, "--health-interval: 0s", "--health-timeout: -1ns")
	f(func(c *Config) { c.HealthRise, c.HealthFall = 0, -1 }, "--health-rise", "--health-fall")
	f(func(c *Config) { c.HealthFastInterval = time.Minute }, "--health-fast-interval: 1m0s is more than")
	f(func(c *Config) { c.L4ConnectDeadline = time.Second }, "--l4-connect-deadline: 1s")
	f(func(c *Config) { c.L4IdleTimeout, c.DrainDelay = 0, 0 })
	f(func(c *Config) { c.DrainTimeout = -1 }, "--drain-timeout")
	f(func(c *Config) { c.Admin = Off })
	f(func(c *Config) { c.Admin = "x" }, "--admin: address \"x\" is not [HOST]:PORT; \"off\" turns it off")
	f(func(c *Config) { c.Admin = ":9900" }, "--admin: \":9900\" can be reached from elsewhere; set --admin-token")
	f(func(c *Config) { c.Admin = "0.0.0.0:9900"; c.AdminToken = "x" })
	f(func(c *Config) { c.Admin = "0.0.0.0:9900"; c.AdminInsecure = true })
	f(func(c *Config) { c.HealthAddr = "x" }, "--health-addr")
	f(func(c *Config) { c.L4Driver = "x" }, "--l4-driver: unknown driver")
	f(func(c *Config) { c.LogFormat, c.LogLevel = "xml", "loud" }, "--log-format", "--log-level")
	f(func(c *Config) { c.Demo = true }, "--l4: contradicts --demo", "--backend: contradicts --demo")
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
