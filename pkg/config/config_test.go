package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	l4(":443=db,sni=*.db.example,proxy-in=v1v2,proxy-from=10.0.0.0/8,proxy-from=2001:db8::/32,tls-cert=/c.pem,tls-key=/k.pem,alpn=h2\\,http/1.1")
	if v, err := ParseL4(":443=db,alpn=h2,http/1.1,tls-cert=/c.pem"); err != nil || !slices.Equal(v.ALPN, []string{"h2", "http/1.1"}) {
		t.Fatalf("unexpected protocols %q, error %v", v.ALPN, err)
	}
	l4(":443=db,max-conns=2,sni-wait=1.5s")
	l4(":443=db,sni-wait=0s")
	l4(":443=db,tls-cert=/c.pem,alpn=none")
	l7 := func(s string) { t.Helper(); v, err := ParseL7(s); f(v, err, s) }
	l7(":80")
	l7("0.0.0.0:8080,max-conns=3")
	l7(":443,proxy-in=v2,proxy-from=10.0.0.0/8,tls-cert=/certs")
	l7(":80,rate=100,rate-burst=200,rate-key=header:x-api-key,max-body=10485760,https-redirect=8443,hsts=8760h0m0s,forwarded=true,trace-sample=0.1")
	l7(":80,rate=1800/h")
	l7(":80,rate=2.5")
	route := func(s string) { t.Helper(); v, err := ParseRoute(s); f(v, err, s) }
	route("/=web")
	route("example.com/api=api,strip=/api")
	route("/a=b=web") // the last = counts
	route("*.example.com/=web")
	route("/=web,method=GET,method=HEAD,header=X-Beta,header=X-Version:2,allow=10.0.0.0/8,deny=10.1.2.3/32,prepend=/v2,rewrite-host=dst,canary=next:2.5")
	route("/=web,rewrite-host=inner.example.com:8080,canary=next:100")
	route("/old=,strip=/old,redirect=301:https://www.example.com/x$path")
	route("/old=,redirect=308:https://$host$path")
	route("/old=,redirect=302:/new$path")
	backend := func(s string) { t.Helper(); v, err := ParseBackend(s); f(v, err, s) }
	backend("web=10.0.0.1:80")
	backend("web=[fe80::1]:80,weight=0,zone=a")
	backend("web=app.local:80,weight=65535")
	backend("web=app.local:80,zone=a,priority=2")
	service := func(s string) { t.Helper(); v, err := ParseService(s); f(v, err, s) }
	service("web,strategy=least_conn,consul=web-prod,dc=east,tag=v2,dns=web.internal:80,file=/etc/web.yaml,check=http:/health?full=1")
	service("web,check=none")
	service("web,failover=dc2\\,backup")
	service("web,strategy=maglev,sticky=client,max-requests=100,concurrency=adaptive,breaker=50:10s")
	service("web,sticky=header:x-user,breaker=12.5")
	service("web,sticky=cookie")
	service("web,strategy=p2c,sticky=cookie:sid")
	register := func(s string) { t.Helper(); v, err := ParseRegister(s); f(v, err, s) }
	register("lb")
	register("lb,addr=::1,port=80,id=lb-1,tag=a,tag=b c,check=http")
	service("web,max-conns=5,queue=9,tls=verify,tls-ca=/ca.pem,tls-server-name=db.example,proxy-out=v2,queue-timeout=3s,close-on-unhealthy=true")
	service("web,reuse=safe,backend-idle-timeout=30s")
	service("web,reuse=never,backend-idle-timeout=0s")
	service("web,hash-balance=150")
	service("web,hash-balance=off")
	service("web,max-ejection=0,panic-threshold=100,slow-start=1m30s,ejection-time=1m0s,retry-budget=0")
}

// TestAnyHost has listeners on all addresses as HAProxy and nginx write them.
func TestAnyHost(t *testing.T) {
	t.Parallel()
	l7, err := ParseL7("*:80,max-conns=1")
	if err != nil || l7.Addr != ":80" {
		t.Errorf("unexpected listener: %v, error %v", l7, err)
	}
	l4, err := ParseL4("*:5432=db")
	if err != nil || l4.Addr != ":5432" {
		t.Errorf("unexpected listener: %v, error %v", l4, err)
	}
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, path, "l7: [{addr: '*:80'}]\n")
	c := Default()
	if _, err := c.Load(path); err != nil || len(c.L7) != 1 || c.L7[0].Addr != ":80" {
		t.Errorf("unexpected listeners of a file: %v, error %v", c.L7, err)
	}
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
	l4(":80=web,sni=10.0.0.1", "10.0.0.1")
	l4(":80=web,proxy-in=v3", "v3")
	l4(":80=web,proxy-from=10.0.0.0/8", "needs proxy-in")
	l4(":80=web,proxy-in=v1,proxy-from=x", `proxy-from="x": want a network`)
	l4(":80=web,tls-key=/k.pem", "needs tls-cert")
	l7 := func(s, want string) { t.Helper(); _, err := ParseL7(s); f(err, want) }
	l7("*.a.test:80", "is not a host")
	service := func(s, want string) { t.Helper(); _, err := ParseService(s); f(err, want) }
	service("web,proxy-out=3", "neither v1 nor v2")
	service("web,queue=3", "need max-conns")
	service("web,max-conns=3,queue-timeout=3", "is not a duration")
	service("web,tls=yes", "neither verify nor skip-verify")
	service("web,tls-ca=/ca.pem", "need tls=verify")
	service("web,tls=skip-verify,tls-ca=/ca.pem", "of no use")
	service("web,reuse=sometimes", "none of never, safe and always")
	service("web,backend-idle-timeout=3", "is not a duration")
	service("web,close-on-unhealthy=maybe", "neither true nor false")
	l7("8080", "is not [HOST]:PORT")
	l7(":80=web", "is not a number")
	route := func(s, want string) { t.Helper(); _, err := ParseRoute(s); f(err, want) }
	route("web", "want [HOST]/PATH=SERVICE")
	route("/", "want [HOST]/PATH=SERVICE")
	route("a=b/", "want [HOST]/PATH=SERVICE")
	route("host:0/=web", "is not a number from 1 to 65535")
	route("host:080/=web", "is not a number from 1 to 65535")
	route("/api=web,strip=/x", "is not a prefix of the path")
	route("/apix=web,strip=/api", "is not a prefix of the path")
	route("/a/../b=web", "dot segment")
	route("/a%zz=web", "percent-encoding")
	route("/=web,path=x", "not a path")
	route("/=web,forward-path=x", "neither normalized nor raw")
	route("ex*mple/=web", "is not a host name")
	route("/a?b=web", "is not a path")
	for _, host := range []string{"*", "*.", "**.a", "*.a.*", "a."} {
		route(host+"/=web", "is not a host name")
	}
	route("/=web,method=G T", "is not a method")
	route("/=web,header=X Y:1", "is not NAME or NAME:VALUE")
	route("/=web,header=:1", "is not NAME or NAME:VALUE")
	route("/=web,allow=10.0.0.0/33", "want a network")
	route("/=web,prepend=v2", "prepend")
	route("/=web,prepend=/v2/", "prepend")
	route("/=web,rewrite-host=a b", "rewrite-host")
	route("/=web,rewrite-host=a:x", "rewrite-host")
	route("/=web,canary=next", "is not SERVICE:PERCENT")
	route("/=web,canary=next:101", "is not SERVICE:PERCENT")
	route("/=web,canary=a b:1", "canary: service name")
	route("/=web,redirect=301:https://a", "leads to no service")
	route("/=,redirect=https://a", "is not CODE:URL")
	route("/=,redirect=200:https://a", "is none of 301")
	for _, to := range []string{"//a", "a", "/$path", "https://", "https:///a", "https://$path", "https://a/$host", "https://a/b c", "/a$path$path", "/$host"} {
		route("/=,redirect=301:"+to, "redirect to")
	}
	route("/=,redirect=301:https://a,prepend=/x", "forwards nothing")
	route("/=", "has no name")
	l7(":80,rate=0", "is not a rate")
	l7(":80,rate=5/d", "is not a rate")
	l7(":80,rate=NaN", "is not a rate")
	l7(":80,rate-burst=5", "need rate=")
	l7(":80,rate-key=header:x", "need rate=")
	l7(":80,rate=1,rate-key=cookie:x", "neither client nor header:NAME")
	l7(":80,max-body=1t", "is not a size")
	l7(":80,max-body=0", "is not a size")
	l7(":80,max-body=9999999999g", "is not a size")
	l7(":80,https-redirect=yes", "neither true nor the port")
	l7(":80,https-redirect=70000", "neither true nor the port")
	l7(":80,hsts=1ms", "less than a second")
	l7(":80,trace-sample=101", "is not a percentage")
	l7(":80,forwarded=maybe", "neither true nor false")
	backend := func(s, want string) { t.Helper(); _, err := ParseBackend(s); f(err, want) }
	backend("web", "want SERVICE=HOST:PORT")
	backend("web=10.0.0.1", "is not HOST:PORT")
	backend("web=10.0.0.1:0", "from 1 to 65535")
	backend("web=:80", "is not a host")
	backend("web=h:80,weight=-1", "is not a number from 0 up")
	backend("web=h:80,weight=65536", "above 65535")
	service("", "has no name")
	service("web,strategy=fastest", "unknown strategy")
	service("web,check=ping", "unknown check")
	service("web,sticky=ip", "is none of client")
	service("web,sticky=header", "is none of client")
	service("web,sticky=cookie:a b", "is none of client")
	service("web,sticky=client,strategy=p2c", "needs a strategy that hashes")
	service("web,concurrency=auto", "neither fixed nor adaptive")
	service("web,breaker=0", "is not PERCENT")
	service("web,breaker=50:soon", "is not PERCENT")
	service("web,max-requests=-1", "is not a number")
	service("web,max-ejection=101", `max-ejection="101" is not a number from 0 to 100`)
	service("web,slow-start=2h", `slow-start="2h" is not a duration from 0 to 1h0m0s`)
	service("web,ejection-time=0s", `ejection-time="0s" is not a duration above 0`)
	service("web,hash-balance=50", `hash-balance="50" is neither off nor a number from 100 to 10000`)
	service("web,hash-balance=x", `hash-balance="x" is neither off nor`)
	service("web,retry-budget=x", `retry-budget="x" is not a number from 0 to 100`)
	service("web,panic-threshold=-1", `panic-threshold="-1" is not a number from 0 to 100`)
	service("web,dns=web.internal", "is neither HOST:PORT nor")
	service("web,dns=web.internal:0", "is not a number from 1")
	register := func(s, want string) { t.Helper(); _, err := ParseRegister(s); f(err, want) }
	register("", "has no name")
	register("web,port=70000", "above 65535")
	register("web,addr=10.0.0.1:80", "neither an IP address")
	register("web,id=a/b", "no ID can have")
	register("web,tag=", "tag= is empty")
	register("web,check=tcp", "known are ttl and http")
	for spec, want := range map[string]string{"10.0.0.1": "10.0.0.1:53", "::1": "[::1]:53", "[::1]": "[::1]:53", "[::1]:5353": "[::1]:5353", "10.0.0.1:1": "10.0.0.1:1"} {
		if got, err := ParseDNSServer(spec); err != nil || string(got) != want {
			t.Fatalf("unexpected DNS server for %q; got %q, %v; want %q", spec, got, err, want)
		}
	}
	for _, spec := range []string{"", "dns.example.com", "10.0.0.1:0", "10.0.0.1:x"} {
		if got, err := ParseDNSServer(spec); err == nil {
			t.Fatalf("unexpected success for DNS server %q: %q", spec, got)
		}
	}
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
	if _, err := got.Load(path); err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.L4 = []L4{{Addr: ":5432", Service: "postgres"}, {Addr: ":6379", Service: "redis", ConnLimits: ConnLimits{MaxConns: 7}}}
	want.L7 = []L7{{Addr: ":80"}}
	want.Routes = []Route{{Path: "/", Service: "web"}, {Host: "example.com", Path: "/api", Service: "api", Strip: "/api"}}
	want.Backends = []Backend{{"web", "10.0.0.1:80", 1, "", 0}, {"api", "10.0.0.2:80", 3, "", 0}}
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

// TestLoadForms reads what the command line has in one form and YAML in others.
func TestLoadForms(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, path, `
drain-timeout: 0
l4-idle-timeout: "0"
max-ejection: 20%
panic-threshold: "0%"
retry-budget: 7
consul: [a:8500, b:8500]
access-log-fields: [query, "request:X-A"]
`)
	got := Default()
	settings, err := got.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.DrainTimeout, want.L4IdleTimeout = 0, 0
	want.MaxEjection, want.PanicThreshold, want.RetryBudget = 20, 0, 7
	want.Consul, want.AccessLogFields = "a:8500,b:8500", "query,request:X-A"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("unexpected configuration\ngot  %+v\nwant %+v", got, want)
	}
	if len(settings) != 7 {
		t.Errorf("unexpected settings: %q", settings)
	}
}

func TestLoadFailure(t *testing.T) {
	t.Parallel()
	f := func(content string, want ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "sluice.yaml")
		write(t, path, content)
		c := Default()
		_, err := c.Load(path)
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
	f("drain-delay: 5\nretry-budget: x%\nconsul: [[a]]\n", "line 1: \"5\" is not a duration such as 5s", "line 2:")
	f("drain-delay: 5s\ndrain-delay: 6s\n", "already defined")
	f("l7: [{addr: ':80', foo: 1}]", `unknown key "foo"`)
	f("l7: [{addr: ':80', max-conns: [1]}]", "wants a single value")
	f("l7: [[1]]", "want a string or a mapping")
	f("health-fall: 3\nhealth-rise: 010\npanic-threshold: 0x10\nmax-ejection: 1_0\n", "line 2: health-rise: 010 is not a plain decimal number",
		"line 3: panic-threshold: 0x10 is not", "line 4: max-ejection: 1_0 is not")
	f("l7: [{addr: ':80', rate: 0x10}]", `rate="0x10" is not a rate`)
	f("route: [{path: /, service: web, canary: 'b:0x5'}]", "0x5")
	f("service: [{service: web, max-conns: 0x10}]", `max-conns="0x10" is not a number`)

	c := Default()
	if _, err := c.Load("/nonexistent/x.yaml"); err == nil || !strings.Contains(err.Error(), `--config: cannot read "/nonexistent/x.yaml": no such file`) {
		t.Fatalf("unexpected error for a missing file: %v", err)
	}
}

// TestSettingsAreKnown wants every setting that is shown to be one that a file may
// have, and that a change of is named.
func TestSettingsAreKnown(t *testing.T) {
	t.Parallel()
	c := Default()
	all, err := c.Settings()
	if err != nil {
		t.Fatal(err)
	}
	known := settingTypes()
	for name := range all {
		if known[name] == nil {
			t.Errorf("a file may not have %q", name)
		}
	}
	if len(known) != len(all) {
		t.Errorf("unexpected number of settings that a file may have; got %d; want %d", len(known), len(all))
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, "copilot: anthropic\ncopilot-model: x\ncopilot-timeout: 0\n")
	next := Default()
	if _, err := next.Load(path); err != nil || next.Copilot.Model != "x" || next.Copilot.Timeout != 0 {
		t.Fatalf("unexpected settings: %+v, %v", next.Copilot, err)
	}
	if got := strings.Join(Changed(&c, &next), " "); got != "copilot copilot-model copilot-timeout" {
		t.Fatalf("unexpected changes: %s", got)
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
	f(func(c *Config) { c.ConsulTags = "urlprefix-" }, "--consul-tags: \"urlprefix-\" are tags in Consul")
	f(func(c *Config) { *c = Default(); c.Consul, c.ConsulTags = "c:1", "urlprefix-" })
	f(func(c *Config) {
		*c = Default()
		c.Consul, c.ConsulTags, c.L7, c.Services = "c:1", "urlprefix-", []L7{{Addr: ":80"}}, []Service{{Name: "web"}}
	})
	f(func(c *Config) { c.Consul, c.ConsulTags = "c:1", "a b" }, "--consul-tags: \"a b\" has spaces")
	f(func(c *Config) { *c = Default(); c.Demo, c.Consul, c.ConsulTags = true, "c:1", "x" }, "--consul-tags: contradicts --demo")
	f(func(c *Config) { c.ConsulKeep = -1 }, "--consul-keep: -1ns is below 0")
	f(func(c *Config) { c.ConsulMaxConns = 15 }, "--consul-max-conns: 15 is less than 16")
	f(func(c *Config) { c.Services = []Service{{Name: "db", Datacenter: "x"}} }, "--service: \"db\" has consul=, dc=, tag= or port= but there is no --consul")
	f(func(c *Config) { c.Consul, c.Services = "c:1", []Service{{Name: "db", Tag: "x"}} }) // two sources
	f(func(c *Config) { c.Backends, c.Services = nil, []Service{{Name: "db", DNS: "db.internal:1"}} })
	f(func(c *Config) { c.Backends, c.Services = nil, []Service{{Name: "db", File: "db.yaml"}} })
	f(func(c *Config) { c.Backends, c.Services = nil, []Service{{Name: "db", Consul: "pg", File: "db.yaml"}} },
		"--service: \"db\" has consul=, dc=, tag= or port= but there is no --consul")
	f(func(c *Config) { c.Registers = []Register{{Service: "lb"}} }, "--register: \"lb\" needs --consul")
	f(func(c *Config) { c.Consul, c.Registers = "c:1", []Register{{Service: "lb"}} })
	f(func(c *Config) {
		c.Consul, c.L4 = "c:1", append(c.L4, L4{Addr: ":1", Service: "db"})
		c.Registers = []Register{{Service: "lb"}, {Service: "x", Port: 1, Check: "http"}, {Service: "y", Port: 1}, {Service: "y", Port: 2}}
	}, "--register: \"lb\" needs port=, for there are 2 listeners", "--register: \"x,port=1,check=http\" needs --health-addr",
		"--register: \"y,port=2\" has the service and id")
	f(func(c *Config) { c.DNSMinTTL, c.DNSKeep = 0, -1 }, "--dns-min-ttl: 0s is not above 0", "--dns-keep: -1ns is below 0")
	f(func(c *Config) { c.DNSMinTTL = time.Hour }, "--dns-max-ttl: 1m0s is less than --dns-min-ttl 1h0m0s")
	f(func(c *Config) { c.Services = []Service{{Name: "db", Consul: "pg"}} }, "--service: \"db\" has consul=, dc=, tag= or port= but there is no")
	f(func(c *Config) { c.Strategy = "fastest" }, "--strategy: unknown strategy")
	f(func(c *Config) { c.HealthInterval, c.HealthTimeout = 0, -1 }, "--health-interval: 0s", "--health-timeout: -1ns")
	f(func(c *Config) { c.HealthRise, c.HealthFall = 0, -1 }, "--health-rise", "--health-fall")
	f(func(c *Config) { c.MaxEjection, c.PanicThreshold, c.EjectionTime = 101, -1, 0 },
		"--ejection-time: 0s", "--max-ejection: 101 is not a number from 0 to 100", "--panic-threshold: -1 is not")
	f(func(c *Config) { c.Zone = "eu 1" }, "--zone: \"eu 1\" has spaces")
	f(func(c *Config) { c.SlowStart = 2 * time.Hour }, "--slow-start: 2h0m0s is not within 0 and 1h0m0s")
	f(func(c *Config) { c.HealthFastInterval = time.Minute }, "--health-fast-interval: 1m0s is more than")
	f(func(c *Config) { c.L4ConnectDeadline = time.Second }, "--l4-connect-deadline: 1s")
	f(func(c *Config) { c.L4IdleTimeout, c.DrainDelay = 0, 0 })
	f(func(c *Config) { c.DrainTimeout = -1 }, "--drain-timeout")
	f(func(c *Config) { c.Admin = Off })
	f(func(c *Config) { c.Admin = "x" }, "--admin: address \"x\" is not [HOST]:PORT; \"off\" turns it off")
	f(func(c *Config) { c.Admin = ":9900" }, "--admin: \":9900\" can be reached from elsewhere; set --admin-token")
	f(func(c *Config) { c.Admin = "0.0.0.0:9900"; c.AdminToken = "x" })
	f(func(c *Config) { c.Admin = "0.0.0.0:9900"; c.AdminInsecure = true })
	f(func(c *Config) { c.Copilot.Provider, c.Copilot.Model = "openai", "m" })
	f(func(c *Config) {
		c.Copilot = Copilot{Provider: "claude", URL: "ftp://x", Timeout: -1}
	}, "--copilot: unknown provider \"claude\"; known are openai, anthropic, off", "--copilot-model: it is needed",
		"--copilot-url: \"ftp://x\" is not", "--copilot-timeout: -1ns", "--copilot-daily-cap: 0 is below 1")
	f(func(c *Config) { c.Copilot.KeyFile = "key" }, "--copilot-key-file: \"key\" has no effect without --copilot")
	f(func(c *Config) { c.HealthAddr = "x" }, "--health-addr")
	f(func(c *Config) { c.L4Driver = "x" }, "--l4-driver: unknown driver")
	f(func(c *Config) { c.L7Driver = "epoll" }, "--l7-driver: unknown driver")
	f(func(c *Config) { c.LogFormat, c.LogLevel = "xml", "loud" }, "--log-format", "--log-level")
	several := func(parts ...string) func(*Config) {
		return func(c *Config) {
			c.L4 = nil
			for _, p := range parts {
				l, err := ParseL4(p)
				if err != nil {
					t.Fatal(err)
				}
				c.L4 = append(c.L4, l)
			}
		}
	}
	f(several(":443=db,sni=a.example,max-conns=5", ":443=db,sni=*.b.example,max-conns=5", ":443=db"))
	f(several(":443=db", ":443=db"), `--l4: address ":443" is taken by --l4`)
	f(several(":443=db,sni=a.example", ":443=db,sni=A.example"), `--l4: ":443" has sni=a.example twice`)
	f(several(":443=db,sni=a.example,max-conns=5", ":443=db,max-conns=6"), `--l4: ":443": max-conns is 5 for one name and 6`)
	f(several(":443=db,sni=a.example,sni-wait=1s", ":443=db,sni-wait=1s"))
	f(several(":443=db,sni=a.example,sni-wait=1s", ":443=db,sni-wait=2s"), `--l4: ":443": sni-wait differs`)
	f(several(":443=db,sni=a.example,sni-wait=1s", ":443=db,sni=b.example"), `--l4: ":443" has sni-wait=, which needs`)
	f(several(":443=db,sni-wait=1s"), `--l4: ":443" has sni-wait=, which needs`)
	f(several(":443=db,sni=a.example,tls-cert=/c,alpn=h2", ":443=db,tls-cert=/c,alpn=h2,http/1.1"), `--l4: ":443": alpn differs`)
	f(several(":443=db,sni=a.example,proxy-in=v1", ":443=db,proxy-in=v2"), `--l4: ":443": proxy-in and proxy-from differ`)
	f(several(":443=db,sni=a.example,tls-cert=/c", ":443=db"), `--l4: ":443" has tls-cert= for some names`)
	f(func(c *Config) {
		several(":443=db,tls-cert=/c")(c)
		c.L4Driver, c.Services = "copy", []Service{{Name: "db", TLS: "verify"}}
	})
	f(func(c *Config) { c.BackendDrainTimeout, c.L4UserTimeout, c.HandshakeTimeout = -1, -1, 0 },
		"--l4-user-timeout", "--backend-drain-timeout", "--handshake-timeout")
	web := func(change func(*Config)) func(*Config) {
		return func(c *Config) {
			c.L7 = []L7{{Addr: ":80"}}
			c.Routes = []Route{{Path: "/", Service: "web"}}
			c.Backends = append(c.Backends, Backend{Service: "web", Addr: "h:1", Weight: 1})
			change(c)
		}
	}
	f(web(func(*Config) {}))
	post := RouteOptions{Methods: []string{"POST"}}
	f(web(func(c *Config) { c.Routes = append(c.Routes, Route{Path: "/", Service: "web", RouteOptions: post}) }))
	f(web(func(c *Config) {
		r := Route{Path: "/x", Service: "web", RouteOptions: post}
		c.Routes = append(c.Routes, r, r)
	}), `--route: "/x" is set twice`)
	f(web(func(c *Config) { c.Routes[0].Canary = Canary{"next", 5} }), `--route: service "next" is not known`)
	f(web(func(c *Config) {
		c.Routes = append(c.Routes, Route{Path: "/old", RouteOptions: RouteOptions{Redirect: Redirect{301, "/new"}}})
	}))
	f(web(func(c *Config) { c.Services = []Service{{Name: "web", Requests: Requests{MaxRequests: 5}}} }))
	f(web(func(c *Config) { c.Services = []Service{{Name: "db", Requests: Requests{MaxRequests: 5}}} }),
		`--service: "db" has max-requests=, for HTTP requests`)
	f(func(c *Config) {
		c.L7, c.Routes = []L7{{Addr: ":80"}}, []Route{{Path: "/", Service: "db"}}
		c.Services = []Service{{Name: "db", TLS: "verify", ProxyOut: 1}}
	}, `--service: "db" has proxy-out=, which is for TCP alone`)
	f(func(c *Config) { c.Demo = true }, "--backend: contradicts --demo")
	f(func(c *Config) { *c = Default(); c.Demo = true })
	f(func(c *Config) {
		*c = Default()
		c.Demo, c.L4, c.L7 = true, []L4{{Addr: "127.0.0.1:0", Service: "db"}}, []L7{{Addr: "127.0.0.1:0"}}
		c.Routes = []Route{{Path: "/", Service: "web"}}
	})
	f(func(c *Config) { *c = Default(); c.Demo, c.L7 = true, []L7{{Addr: "127.0.0.1:8081"}} }, `--l7: address "127.0.0.1:8081" is taken by --l4`)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestServiceDefaults checks what a service gets that does not say.
func TestServiceDefaults(t *testing.T) {
	t.Parallel()
	c := Default()
	own, err := ParseService("own,max-ejection=0,panic-threshold=10,slow-start=5s")
	if err != nil {
		t.Fatal(err)
	}
	c.Services = []Service{own}
	c.MaxEjection, c.PanicThreshold = 30, 20
	if s := c.Service("own"); *s.MaxEjection != 0 || *s.PanicThreshold != 10 || *s.SlowStart != 5*time.Second {
		t.Fatalf("unexpected settings: %+v", s)
	}
	if s := c.Service("other"); *s.MaxEjection != 30 || *s.PanicThreshold != 20 || *s.SlowStart != 0 || s.Strategy != "p2c" || s.Check != "tcp" || s.Consul != "other" {
		t.Fatalf("unexpected defaults: %+v", s)
	}
}

func TestServiceStickiness(t *testing.T) {
	t.Parallel()
	f := func(global, spec, strategy, cookie string) {
		t.Helper()
		c := Default()
		c.Strategy = global
		s, err := ParseService(spec)
		if err != nil {
			t.Fatal(err)
		}
		c.Services = []Service{s}
		if got := c.Service(s.Name); got.Strategy != strategy || got.Sticky.Name != cookie {
			t.Errorf("unexpected settings of %q; got %s, %q; want %s, %q", spec, got.Strategy, got.Sticky.Name, strategy, cookie)
		}
	}
	f("p2c", "web,sticky=client", "consistent_hash", "")
	f("maglev", "web,sticky=client", "maglev", "")
	f("p2c", "web,sticky=header:X-User", "consistent_hash", "x-user")
	f("p2c", "web,sticky=cookie", "p2c", "sluice_web")
	f("p2c", "web,sticky=cookie:sid", "p2c", "sid")
	f("p2c", "web", "p2c", "")
}
