//go:build linux && !portable

package l4

// atOnce says that a socket's end is known when it has come, as a system call
// tells, and not only when a goroutine has noticed.
const atOnce = true
