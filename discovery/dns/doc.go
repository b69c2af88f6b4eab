// Package dns is a [discovery.Source] of address and SRV records, for services
// that something else than Consul registers: Kubernetes' headless services,
// ECS' Cloud Map, Docker.
//
//	source.go   the loop: resolve, judge, keep, report
//	resolve.go  a name → records, over UDP and, if truncated, TCP
//	keep.go     answers that leave members out → who is a member
//	members.go  records → members, by weight and priority
//	metrics.go  what is counted
//
// Rules:
//
//   - A name is resolved again when its records expire, but not sooner than
//     MinTTL and not later than MaxTTL.
//   - No answer (a timeout, SERVFAIL, REFUSED) changes nothing, for as long as
//     it lasts: the last good records stay, each family of addresses by
//     itself.
//   - An answer that says that there is nothing (NXDOMAIN, no records) is
//     believed after it was the same for Keep.
//   - A truncated answer is asked for again over TCP, never used. So is one
//     that may be cut without saying so, or that lacks somebody; see keeper for
//     what becomes of members that answers leave out.
//   - SRV records of the lowest priority get the connections, by weight
//     (RFC 2782); those of the next one only while all of the former are down.
package dns
