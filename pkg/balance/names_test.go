package balance

import "testing"

func TestCanonical(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"least_conn": "least_conn", "leastconn": "least_conn", "LEAST-CONN": "least_conn", "roundrobin": "round_robin", "static-rr": "weighted_round_robin",
		"ROUND_ROBIN": "round_robin", "LEAST_REQUEST": "p2c", "RING_HASH": "consistent_hash", "MAGLEV": "maglev", "source": "ip_hash", "wrr": "weighted_round_robin",
		"least_con": "least_con", "": "",
	} {
		if got := Canonical(name); got != want {
			t.Errorf("unexpected name of %q; got %q; want %q", name, got, want)
		}
	}
	for _, name := range Names() {
		if got := Canonical(name); got != name {
			t.Errorf("unexpected name of %q: %q", name, got)
		}
	}
}
