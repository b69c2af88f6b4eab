// Package epoll is the driver of l4 in event loops (pkg/reactor): where there
// are sockets of the loops' own (Linux), a connection costs no goroutine, no
// buffer while nothing is under way, and a third less CPU than with two.
//
// A connection is a session, which belongs to one loop at a time: first the one
// that its client was accepted in. Its walk:
//
//  1. server.go: New; Serve has pkg/listen accept in the loops.
//  2. session.go: welcome, and the ClientHello if its name says where to; who is
//     called when.
//  3. dial.go: does what the plan (pkg/attempt) says; queue.go reads those that
//     wait for a slot, elsewhere.go does what would block a loop, client.go tells
//     the backend who asks.
//  4. settle.go: gives a session that stays to a loop that is less busy.
//  5. move.go: both directions (pkg/pump), counted now and then, idle or not.
//  6. list.go finds the sessions of one backend, which evict.go ends.
//  7. end.go: everything is given back.
package epoll
