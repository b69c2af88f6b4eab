package consultest

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// StartFederated runs an agent for each of several datacenters, which know each
// other; see Start.
func StartFederated(t testing.TB, datacenters ...string) []*Agent {
	t.Helper()
	var agents []*Agent
	for _, dc := range datacenters {
		wan, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		a := Start(t, "-datacenter", dc, "-hcl", fmt.Sprintf("ports { serf_wan = %d }", wan))
		for _, other := range agents {
			if err := other.client.Agent().Join(local(wan), true); err != nil {
				t.Fatalf("cannot join %s: %v\n%s", dc, err, a.tail())
			}
		}
		agents = append(agents, a)
	}
	want := slices.Sorted(slices.Values(datacenters))
	for _, a := range agents {
		a.await("it knows the other datacenters", func() bool {
			known, err := a.client.Catalog().Datacenters()
			slices.Sort(known)
			return err == nil && slices.Equal(known, want)
		})
	}
	return agents
}

// await waits until ok says yes.
func (a *Agent) await(what string, ok func() bool) {
	a.t.Helper()
	for deadline := time.Now().Add(startTimeout); !ok(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			a.t.Fatalf("does not happen: %s\n%s", what, a.tail())
		}
	}
}
