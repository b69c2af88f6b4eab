package consul

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/discovery/consul/consultest"
)

// TestZone asks real agents where they run.
func TestZone(t *testing.T) {
	t.Parallel()
	f := func(agent *consultest.Agent, want string) {
		t.Helper()
		c, err := New(Config{Address: agent.Addr()})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Zone(t.Context()); err != nil || got != want {
			t.Fatalf("unexpected zone; got %q, %v; want %q", got, err, want)
		}
	}
	silent := consultest.Start(t)
	f(silent, "")
	// The agent registers its node itself now and then, without a locality.
	for deadline := time.Now().Add(patience); ; {
		if _, err := silent.API().Catalog().Register(&api.CatalogRegistration{
			Node: silent.Node(), Address: "127.0.0.1", SkipNodeUpdate: false, Locality: &api.Locality{Region: "r", Zone: "r-1"},
		}, nil); err != nil {
			t.Fatal(err)
		}
		got, err := newClient(t, Config{Address: silent.Addr()}).Zone(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got == "r-1" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("unexpected zone by locality; got %q; want r-1", got)
		}
	}
	f(consultest.Start(t, "-node-meta", ZoneMeta+":r-2"), "r-2")

	silent.Stop()
	c, err := New(Config{Address: silent.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := c.Zone(ctx); err == nil || !strings.Contains(err.Error(), "cannot ask Consul's agent for its zone") {
		t.Fatalf("unexpected error without an agent: %v", err)
	}
}
