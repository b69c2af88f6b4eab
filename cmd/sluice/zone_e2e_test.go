package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/discovery/consul/consultest"
)

// TestZonePreference runs sluice in a zone that it is told of in each way, and
// counts who serves.
func TestZonePreference(t *testing.T) {
	t.Parallel()
	ecs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"AvailabilityZone":"eu-1b"}`)
	}))
	t.Cleanup(ecs.Close)
	agent := consultest.Start(t, "-node-meta", "sluice-zone:eu-1b")
	_, addrs := startEchos(t, 2)
	f := func(environ []string, args ...string) {
		t.Helper()
		s := start(t, "sluice", environ, append(args, "--l7=127.0.0.1:0", "--route=/=echo", "--admin=127.0.0.1:0",
			"--backend=echo="+addrs[0]+",zone=eu-1a", "--backend=echo="+addrs[1]+",zone=eu-1b")...)
		admin := s.addr("admin")
		eventually(t, "the zone is known", func() bool {
			_, body := get("http://" + admin + "/admin/backends")
			return strings.Contains(body, `"own_zone": "eu-1b"`) && strings.Contains(body, `"own_zone_share": 1`)
		})
		for range 30 {
			if status, body := get("http://" + s.addr("l7") + "/"); status != http.StatusOK || !strings.HasPrefix(body, "echo-2 ") {
				t.Fatalf("unexpected answer in zone eu-1b; got %d: %s", status, body)
			}
		}
		_, body := get("http://" + admin + "/metrics")
		if !strings.Contains(body, `sluice_service_zone_bytes_total{service="echo",zone="other",direction="out"} 0`) ||
			!strings.Contains(body, `sluice_service_zone_bytes_total{service="echo",zone="own",direction="out"} `) {
			t.Fatalf("unexpected bytes by zone:\n%s", body)
		}
	}
	f(nil, "--zone=eu-1b")
	f([]string{"ECS_CONTAINER_METADATA_URI_V4=" + ecs.URL}, "--zone=auto")
	f([]string{"ECS_CONTAINER_METADATA_URI_V4="}, "--zone=auto", "--consul="+agent.Addr())
}
