// Package listen accepts TCP connections and hides what can go wrong there:
// temporary errors, too many connections, and connections that wait in the
// kernel's queue when a listener has to close.
//
// The life of a [Listener]: [Listen] binds, AcceptConn hands out connections that
// count against the cap until they are closed, [Listener.Drain] stops new
// connections without losing one that is queued, [Listener.Wait] waits for
// the open ones, [Listener.CloseConns] ends what is left.
//
// Invariants:
//
//   - AcceptConn returns an error only once the listener is closed, and then
//     net.ErrClosed. Everything else (EMFILE, ECONNABORTED, ...) is retried
//     after 5 ms to 1 s, counted and logged with a throttle.
//   - AcceptConn blocks on nothing but the kernel: a connection over the cap is
//     closed at once and counted.
//   - A [Conn] is a *net.TCPConn with its accounting; unwrapping it keeps
//     kernel splice, and closing the wrapper is what gives its place back.
package listen
