//go:build linux && !portable

package l7

// atOnce says that a socket's end is known when it has come, as a system call
// tells, and not only when a goroutine has noticed; and so is what it holds.
// Only then can a connection move to another loop.
const atOnce = true
