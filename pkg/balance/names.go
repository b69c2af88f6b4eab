package balance

import "strings"

// Canonical returns the name of a strategy as Names has it, of one that other
// balancers call it by or that is spelt otherwise, as LEAST-CONN. What is none is
// returned as it is.
func Canonical(name string) string {
	plain := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	if Valid(plain) {
		return plain
	}
	switch strings.ReplaceAll(plain, "_", "") {
	case "roundrobin", "rr":
		return "round_robin"
	case "weightedroundrobin", "wrr", "staticrr", "smoothweightedroundrobin": // HAProxy's static-rr, Traefik's wrr
		return "weighted_round_robin"
	case "leastconn", "leastconns", "leastconnection", "leastconnections", "lc", "wlc":
		return "least_conn"
	case "leastrequest", "randomtwoleastconn", "poweroftwochoices", "poweroftwo", "twochoices": // Envoy's and nginx', which take the better of two
		return "p2c"
	case "p2cewma", "ewma", "peakewma", "leasttime":
		return "p2c_ewma"
	case "iphash", "source", "sourceip", "sh":
		return "ip_hash"
	case "consistenthash", "consistent", "ringhash", "hash":
		return "consistent_hash"
	}
	return name
}
