// Package l4 balances TCP connections. It decides and keeps account; what moves
// the bytes is a driver: [sluice/l4/epoll], sessions in event loops, or
// [sluice/l4/copy], two goroutines a connection. Here is no socket.
//
// The walk of a connection, one file a step; the driver asks, this answers:
//
//  1. accept (pkg/listen): temporary errors, the limits of the listener, the
//     PROXY header and the TLS handshake are dealt with there. A [Gate] is made
//     for a listener (gate.go).
//  2. route (route.go): which service it is led to. Where services are told apart
//     by a name that the client asks for, its ClientHello is awaited
//     (pkg/preface).
//  3. enter (service.go, ticket.go): a [Ticket] for its way through the service.
//  4. pick and dial: the plan (pkg/attempt) says whom to try, beside whom, when to
//     wait and when to give up. Nothing of the client's has been sent yet, so that
//     to try another backend is always safe.
//  5. splice: both ways, with half-close, reset, idle and FIN timeout; bytes are
//     counted on the ticket.
//  6. record (record.go): the one place where counters of connections move, with
//     exactly one [Reason] (reason.go).
//
// evict.go ends connections to backends that were taken out.
//
// Both drivers pass one suite of tests, which is here, with TLS as without.
//
// Who owns what: a driver owns both sockets from accept to record, and the ticket
// the backend's slot from Established to Leave; each is given back exactly once.
// Package l4 decides nothing about health: it reports how connects went to the
// backend and picks from what the pool offers.
package l4
