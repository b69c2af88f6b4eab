package listen

import (
	"errors"

	"golang.org/x/sys/unix"
)

// holdOff makes the kernel drop segments that would open a new connection on
// the listening socket fd: a classic BPF filter (socket(7), SO_ATTACH_FILTER) on the listening
// socket sees the TCP header first and lets all through but SYN without ACK.
// Handshakes that have begun still end. Recent kernels (6.18) ask for
// CAP_NET_ADMIN; without it a connection may be reset as the listener closes.
func holdOff(fd int) error {
	const flagsOffset, syn, synOrAck = 13, 0x02, 0x12
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flagsOffset},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synOrAck},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// letIn undoes holdOff, if that was done.
func letIn(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
