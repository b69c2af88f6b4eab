package config

import "testing"

func TestConsulAddresses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "127.0.0.1:8500", "consul", "consul.service:8500", "http://a:8500", "https://a.test", "http://a:8500/prefix", "unix:///run/consul.sock", "[::1]:8500", "http://[::1]:8500", "[::1]", "a:8500, b:8500", "a:8500,,b:8500",
	} {
		if err := consulAddresses(s); err != nil {
			t.Errorf("unexpected error for %q: %v", s, err)
		}
	}
	for _, s := range []string{",", "a b", "a:99999", "a:0", "a:x", "a:", "ftp://a:1", "http://", "http:///x", "unix://", "::1", "http://::1", "a:1:2", ":8500", "[::1", "a?b", "a:8500,b:x"} {
		if consulAddresses(s) == nil {
			t.Errorf("unexpected success for %q", s)
		}
	}
}
