//go:build unix

package l7

import "syscall"

// lookAt sees whether anything waits on the socket, which is non-blocking. A
// byte that it takes is no loss: the connection is given up then.
func (up *upstream) lookAt(fd uintptr) {
	var b [1]byte
	_, err := syscall.Read(int(fd), b[:])
	up.quiet = err == syscall.EAGAIN
}
