// Package plain serves one request as straight-line code in one goroutine, over
// the decisions of l7/gate: what fronts share that bring a server of their own,
// and what is easiest to read of how a request is served.
//
// A front gives each connection of a client a [Session] and each request a
// [Client], which is how plain reaches the connection. [Proxy.Begin] begins an
// [Exchange], [Exchange.Do] serves it until it is known what the client gets,
// [Exchange.Next] brings that piece by piece, and [Exchange.End] ends it.
//
// The walk of a request, one file a step:
//
//  1. proxy.go, follow.go: what is there before: the gate, and what follows the
//     members of services.
//  2. client.go, session.go: whom a request comes from.
//  3. exchange.go: judge, let in, admit; active.go keeps those under way.
//  4. receive.go: what comes of a body before a backend is picked.
//  5. connect.go: pick, wait for a slot, connect; pool.go keeps idle connections
//     (upstream.go), alive_*.go look whether they live.
//  6. send.go: the head, and a body in a goroutine of its own.
//  7. response.go: wait for the response, and bring it. A retry goes back to 5.
//  8. tunnel.go: bytes both ways after a switch of protocols.
//
// stop.go is how others stop an exchange that waits: who evicts, who rescues,
// who watches the client.
//
// # Invariants
//
//   - A truncated message never becomes a complete one: what frames a message on
//     one side is made anew for the other, and what breaks off breaks off there
//     too.
//   - A connection to a backend is used again only if the message before ended
//     exactly where it said, nothing was left over, and a look says that it lives.
//   - No byte of a response is followed by another attempt; the gate alone allows
//     one.
//   - An answer that comes at once costs no goroutine, no timer but a deadline,
//     and no look at the client.
package plain
