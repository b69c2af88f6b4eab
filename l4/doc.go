// Package l4 balances TCP connections.
//
// The walk of a connection, one file a step:
//
//  1. accept (pkg/listen): temporary errors and the connection cap are dealt
//     with there; server.go starts a goroutine for each connection.
//  2. pick (pkg/balance): the strategy chooses an eligible backend that this
//     connection has not tried, and takes its slot in the same call.
//  3. dial (dial.go): a failure releases the slot, is reported to health, and
//     another backend is picked, inside one deadline. Nothing of the client's
//     has been read yet, so this is always safe.
//  4. splice (pkg/relay): both ways, with half-close, reset and idle timeout.
//  5. record (record.go): the one place where counters move, with exactly one
//     [Reason] per connection.
//
// Who owns what: the goroutine of a connection owns both sockets and the
// backend's slot from accept to record, and gives each back exactly once.
// Package l4 decides nothing about health: it reports failed dials to the
// backend and picks from what the pool offers.
package l4
