package fabio

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const prefix = "urlprefix-"

func dc() map[string]string { return map[string]string{"DC": "east"} }

func networks(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func TestParseSuccess(t *testing.T) {
	t.Parallel()
	f := func(tag string, want Tag, wantIgnored ...string) {
		t.Helper()
		got, ignored, err := Parse(tag, prefix, dc())
		if err != nil {
			t.Fatalf("unexpected error for %q: %v", tag, err)
		}
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(ignored, wantIgnored) {
			t.Fatalf("unexpected reading of %q\ngot  %+v, ignored %q\nwant %+v, ignored %q", tag, got, ignored, want, wantIgnored)
		}
	}
	f("urlprefix-/", Tag{Path: "/"})
	f("  urlprefix-/foo/bar  ", Tag{Path: "/foo/bar"})
	f("urlprefix- /foo", Tag{Path: "/foo"})
	f("urlprefix-Example.COM/Foo", Tag{Host: "example.com", Path: "/Foo"})
	f("urlprefix-*.example.com/", Tag{Host: "*.example.com", Path: "/"})
	f("urlprefix-example.com:80/", Tag{Host: "example.com:80", Path: "/"})
	f("urlprefix-example.com:9999/", Tag{Host: "example.com:9999", Path: "/"})
	f("urlprefix-*.example.com:8080/x", Tag{Host: "*.example.com:8080", Path: "/x"})
	f("urlprefix-example.com", Tag{Host: "example.com", Path: "/"})
	f("urlprefix-www.example.com weight=.1", Tag{Host: "www.example.com", Path: "/", Weight: 0.1})
	f("urlprefix-1.1.1.1:999", Tag{Host: "1.1.1.1:999", Path: "/"})
	f("urlprefix-:80", Tag{Listen: ":80"})
	f("urlprefix-:80 proto=http", Tag{Listen: ":80"})
	f("urlprefix-10.0.0.1:53/ proto=tcp", Tag{Listen: "10.0.0.1:53"})
	f("urlprefix-/hello strip=hello", Tag{Path: "/hello"}, "strip=hello")
	f("urlprefix-/a strip=/a/", Tag{Path: "/a", Rewrite: Rewrite{Strip: "/a"}})
	f("urlprefix-/hello strip=", Tag{Path: "/hello"})
	f("urlprefix-/api strip=/x", Tag{Path: "/api"}, "strip=/x")
	f("urlprefix-/apix strip=/api", Tag{Path: "/apix"}, "strip=/api")
	f("urlprefix-/bar prepend=foo", Tag{Path: "/bar", Rewrite: Rewrite{Prepend: "/foo"}})
	f("urlprefix-/api prepend=", Tag{Path: "/api"})
	f("urlprefix-web.$DC.example.com/${DC}/$OTHER", Tag{Host: "web.east.example.com", Path: "/east/$OTHER"})
	f("urlprefix-/api strip=/api", Tag{Path: "/api", Rewrite: Rewrite{Strip: "/api"}})
	f("urlprefix-/api/ strip=/api", Tag{Path: "/api/", Rewrite: Rewrite{Strip: "/api"}})
	f("urlprefix-/api strip=/ prepend=/v1/", Tag{Path: "/api", Rewrite: Rewrite{Prepend: "/v1"}})
	f("urlprefix-/ host=dst weight=0.05", Tag{Path: "/", Weight: 0.05, Rewrite: Rewrite{Host: "dst"}})
	f("urlprefix-/ host=www.example.com:8080 proto=http", Tag{Path: "/", Rewrite: Rewrite{Host: "www.example.com:8080"}})
	f("urlprefix-/ weight=-1", Tag{Path: "/"})
	f("urlprefix-/ weight=7", Tag{Path: "/", Weight: 1})
	f("urlprefix-/old redirect=301,https://www.example.com$path", Tag{Path: "/old", Rewrite: Rewrite{RedirectCode: 301, RedirectTo: "https://www.example.com$path"}})
	f("urlprefix-example.com/ redirect=302,https://$host$path", Tag{Host: "example.com", Path: "/", Rewrite: Rewrite{RedirectCode: 302, RedirectTo: "https://$host$path"}})
	f("urlprefix-/ allow=ip:10.0.0.1/8,ip:fe80::/10 deny=ip:10.1.2.3",
		Tag{Path: "/", Allow: networks("10.0.0.0/8", "fe80::/10"), Deny: networks("10.1.2.3/32")})
	f("urlprefix-/ allow=10.0.0.0/8", Tag{Path: "/", Closed: `allow=10.0.0.0/8: "10.0.0.0/8" is not ip:CIDR`})
	f("urlprefix-/ deny=ip:10.0.0.0/33", Tag{Path: "/", Closed: `deny=ip:10.0.0.0/33: "10.0.0.0/33" is not a network`})
	f("urlprefix-/ deny=", Tag{Path: "/", Closed: `deny=: "" is not ip:CIDR`})
	f("urlprefix-/ auth=staff", Tag{Path: "/", Auth: "staff"})
	f("urlprefix-/ auth=false", Tag{Path: "/"})
	f("urlprefix-:3306 proto=tcp", Tag{Listen: ":3306"})
	f("urlprefix-:3306 weight=.5 proto=tcp pxyproto=false", Tag{Listen: ":3306", Weight: 0.5})
	f("urlprefix-:25 pxyproto=true proto=tcp", Tag{Listen: ":25", ProxyProto: true})
	f("urlprefix-10.0.0.1:53 proto=tcp", Tag{Listen: "10.0.0.1:53"})
	f("urlprefix-[::1]:53 proto=tcp", Tag{Listen: "[::1]:53"})
	f("urlprefix-/ register=web tlsskipverify=true tlsskipverify2", Tag{Path: "/"}, "register=web", "tlsskipverify2", "tlsskipverify=true")
}

func TestParseFailure(t *testing.T) {
	t.Parallel()
	f := func(tag, want string) {
		t.Helper()
		got, _, err := Parse(tag, prefix, dc())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected result for %q; got %+v, %v; want an error with %q", tag, got, err, want)
		}
	}
	f("web", "does not begin with")
	f("urlprefix-", "names no route")
	f("urlprefix-  ", "names no route")
	f("urlprefix-example.com:0/", "is not within 1 and 65535")
	f("urlprefix-example.com:http/", "is not within 1 and 65535")
	f("urlprefix-:80/x", "is not within 1 and 65535")
	f("urlprefix-:http", "is not within 1 and 65535")
	f("urlprefix-/a prepend=/../b", "is not a path")
	f("urlprefix-ex*mple.com/", "is not a host name")
	f("urlprefix-*./", "is not a host name")
	f("urlprefix-a..b/", "is not a host name")
	f("urlprefix-/a/../b", "no path of a request")
	f("urlprefix-/a?b", "no path of a request")
	f("urlprefix-/*", "no path of a request")
	f("urlprefix-/ weight=much", "is not a number")
	f("urlprefix-/ weight=NaN", "is not a number")
	f("urlprefix-/ weight=.1 weight=.2", "comes twice")
	f("urlprefix-/ host=", "is not a host name")
	f("urlprefix-/ host=a:0", "has a port")
	f("urlprefix-/ redirect=301", "is not CODE,URL")
	f("urlprefix-/ redirect=200,http://x/", "is not CODE,URL")
	f("urlprefix-/ redirect=301,ftp://x/", "neither a URL")
	f("urlprefix-/ redirect=301,www.example.com", "neither a URL")
	f("urlprefix-/ proto=http2", "is not supported")
	f("urlprefix-/ pxyproto=true", "is not supported without proto=tcp")
	f("urlprefix-:1 proto=tcp pxyproto", "neither true nor false")
	f("urlprefix-:1 proto=tcp allow=ip:10.0.0.0/8", "not supported with proto=tcp")
	f("urlprefix-:1 proto=tcp auth=staff", "not supported with proto=tcp")
	f("urlprefix-:1 proto=tcp deny=x", "not supported with proto=tcp")
	f("urlprefix-:1 proto=tcp strip=/x", "mean nothing with proto=tcp")
	f("urlprefix-:0 proto=tcp", "is not within 1 and 65535")
	f("urlprefix-host:53 proto=tcp", "is a name, and connections have one only with TLS")
	f("urlprefix-foo.com/ proto=tcp", "is a name, and connections have one only with TLS")
	f("urlprefix-foo.com proto=tcp", "is a name, and connections have one only with TLS")
	f("urlprefix-foo.com/ proto=tcp+sni", "is not supported")
	f("urlprefix-foo.com/ proto=https+tcp+sni", "is not supported")
	f("urlprefix-/ proto=tcp", "is not [IP]:PORT")
}

// FuzzParse checks that whatever is read can be used as it is.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"urlprefix-/", "urlprefix-a/b strip=/b prepend=/c weight=.1", "urlprefix-:1 proto=tcp", "urlprefix-a/ redirect=301,http://$host/$path",
		"urlprefix-/ allow=ip:::/0", "urlprefix-$DC/${x}", "urlprefix-/\n x=\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tag, _, err := Parse(s, prefix, dc())
		if err != nil {
			return
		}
		if (tag.Listen == "") == (tag.Path == "") {
			t.Fatalf("%q is neither a route nor a listener, or both: %+v", s, tag)
		}
		if tag.Path != "" && tag.Path[0] != '/' || strings.ContainsAny(tag.Host, " /\n") || tag.Weight < 0 || tag.Weight > 1 {
			t.Fatalf("%q was read as %+v", s, tag)
		}
		if tag.Strip != "" && !strings.HasPrefix(tag.Path, strings.TrimSuffix(tag.Strip, "/")) {
			t.Fatalf("%q strips what is not there: %+v", s, tag)
		}
	})
}
