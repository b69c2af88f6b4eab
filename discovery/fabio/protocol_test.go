package fabio

import (
	"testing"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// TestProtocols has tags say what their instances speak.
func TestProtocols(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		tag, protocol, name string
		skip                bool
	}{
		{"urlprefix-/", "", "", false},
		{"urlprefix-/ proto=http", "", "", false},
		{"urlprefix-/ proto=https", "https", "", false},
		{"urlprefix-/ proto=https tlsskipverify=true", "https", "", true},
		{"urlprefix-/pkg.Service proto=grpc", "grpc", "", false},
		{"urlprefix-/pkg.Service proto=grpcs grpcservername=api.example", "grpcs", "api.example", false},
		{"urlprefix-/ proto=grpc tlsskipverify=true grpcservername=x", "grpc", "", false}, // which mean nothing
	} {
		r := NewReader("urlprefix-", nil)
		table := r.Build(map[string][]discovery.Member{"web": {{Target: backend.Target{ID: "a", Address: "10.0.0.1:1", Weight: 1}, Tags: []string{x.tag}}}})
		if len(table.Routes) != 1 || len(table.Pools) != 1 {
			t.Errorf("%q was not understood: %+v", x.tag, table.Problems)
			continue
		}
		if m := table.Pools[0].Members[0]; m.Protocol != x.protocol || m.SkipVerify != x.skip || m.ServerName != x.name {
			t.Errorf("unexpected member by %q: %+v", x.tag, m)
		}
	}
}
