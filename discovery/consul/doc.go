// Package consul is a [discovery.Source] fed by Consul's health endpoint. It
// is the one package of the data path that knows Consul's client.
//
// A watch follows one service and is one goroutine, the caller's:
//
//	client.go     Config → Client: where Consul is and with which token
//	agents.go     several addresses: which is asked first, and which instead
//	budget.go     how the connections to an agent are divided
//	seats.go      who may send a query now: the turns of a watch
//	service.go    a Source: one service's list, diffed, kept, reported
//	catalog.go    the names of the services that carry certain tags
//	watch.go      the loop: wait for a turn, query, judge, accept
//	overview.go   which services have changed, for those without own queries
//	ratelimit.go  a token bucket bounds how often Consul is asked
//	members.go    an answer → a sorted list of members and what was left out
//	keep.go       who stays although Consul lost them all at once
//	backoff.go    an error → how long to wait before the next try
//	contact.go    an error → words for an operator, logged once per outage
//	metrics.go    what is counted
//
// How Consul is asked:
//
//   - The first read carries no index, so it is answered at once, and so does
//     the first read after any error: an index from before may be above that
//     of a Consul that was restored, and would block for nothing. Then each
//     query blocks until the service changes or Config.Wait has passed.
//
//   - Reads are stale: any server may answer them, with or without a leader.
//     What the answering server says of itself (a leader is known, how long
//     ago it was heard) is believed only where it is true, which it is not on
//     the answers of Consul's streaming backend: they always say that no
//     leader is known. So an index-less read, which streaming never answers,
//     is made at least every minute.
//
//   - Three answers are not believed at once, and the leader is asked instead,
//     by a read in default mode that counts in their place: one from a server
//     that has lost its leader or is too far behind, an empty one, and one
//     that drops more than half of the members. The last two are what a
//     restarting server says before it knows better.
//
//   - An index that goes backwards starts over without one; an index of 0
//     becomes 1, or the loop would be a busy one.
//
//   - Every query ends within wait*17/16 plus a second, so a Consul that hangs
//     is noticed, and so is a connection that died in silence.
//
//   - With more services than connections, those without traffic have no query
//     of their own. An overview of a few blocking queries says which of them to
//     read, and then Consul's leader is asked, since another server may not
//     know yet what the one knew that answered the overview.
//
// Invariants:
//
//   - update is called with the first good answer, and then only with a list
//     that differs from the last one reported.
//   - An error of any kind changes nothing: the last good list stays in use.
//   - Members that Consul, confirmed by its leader, lost all at once stay while
//     they pass sluice's own check, for a bounded time; see keeper. Consul's
//     explicit word (critical, maintenance, one gone among many) acts at once.
//   - A bad entry is left out, counted and logged once, and holds up no other.
//   - An empty list from which Consul says it hid entries (ACLs) is an error.
//   - However often a service changes, Consul is asked at most 4 times in
//     quick succession and then five times a second for each watch.
//   - There are never more than Config.MaxConns connections to an agent.
//   - A service that is never answered holds up no other.
//   - When Watch returns, nothing of it runs any more; when the last of a client
//     does, neither do its overviews.
package consul
