package dns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// TestConsulsDNS checks that no member is lost of those that Consul's DNS
// leaves out of answers over UDP without saying so, and that one that is
// deregistered is gone.
func TestConsulsDNS(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	const n = 100
	var all []string
	for i := range n {
		addr := fmt.Sprintf("127.0.1.%d", 100+i)
		agent.Register(t, fmt.Sprintf("web-%d", i), "web", addr, 80)
		all = append(all, addr+":80")
	}
	up := func(string) bool { return true }
	for _, name := range []string{"_web._tcp.service.consul", "web.service.consul:80"} {
		w := watch(t, Config{Name: name, Servers: []string{agent.DNS()}, Up: up, MinTTL: 10 * time.Millisecond})
		// Health of what was just registered reaches DNS a moment later.
		until(t, "all are members", func() bool { return w.drain() == strings.Join(all, " ") })
		from := w.metrics.unchanged.Get()
		until(t, "it is resolved often", func() bool { return w.metrics.unchanged.Get() >= from+20 })
		w.expectNone(t)
		agent.Deregister(t, "web-7")
		without := strings.ReplaceAll(strings.Join(all, " "), " "+all[7], "")
		w.expect(t, without)
		agent.Register(t, "web-7", "web", strings.TrimSuffix(all[7], ":80"), 80)
		w.expect(t, strings.Join(all, " "))
		if r := w.Reports()[0]; r.Trouble != "" || r.Kept != 0 {
			t.Errorf("unexpected report: %+v", r)
		}
	}
}
