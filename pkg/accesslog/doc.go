// Package accesslog tells what became of each request and each connection, one
// line each, without making those who serve them wait: [Log.Add] copies a
// [Record] into a queue, and one goroutine turns the queue into lines. A queue
// that is full, because lines are written more slowly than requests end, drops
// further records and counts them.
package accesslog
