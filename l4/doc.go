// Package l4 balances TCP connections.
//
// The walk of a connection, one file a step:
//
//  1. accept (pkg/listen): temporary errors, the limits of the listener, the
//     PROXY header and the TLS handshake are dealt with there. Where services
//     are told apart by name, the ClientHello is awaited (preface.go, route.go).
//  2. pick (service.go, pkg/balance): the strategy chooses an eligible backend
//     that this connection has not tried, and takes its slot in the same call;
//     the retry budget is asked before a second one. If none has a slot free,
//     the connection queues (queue.go).
//  3. dial (attempt.go, dial.go): a failure releases the slot, is reported to health, and another
//     backend is picked, inside one deadline; a backend that does not answer
//     in time gets a rival. Nothing of the client's has been read yet, so this
//     is always safe.
//  4. splice: both ways, with half-close, reset, idle and FIN timeout.
//  5. record (record.go): the one place where counters move, with exactly one
//     [Reason] per connection.
//
// evict.go ends connections to backends that were taken out.
//
// Two drivers walk it: epoll (session.go), sessions in the event loops of
// pkg/reactor, and copy (copy.go), a goroutine for each connection and
// pkg/relay, without TLS. They share the steps' decisions and pass one suite
// of tests.
//
// Who owns what: a session, or the goroutine of a connection, owns both
// sockets and the backend's slot from accept to record, and gives each back
// exactly once. Package l4 decides nothing about health: it reports how
// connects went to the backend and picks from what the pool offers.
package l4
