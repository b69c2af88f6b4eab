//go:build !portable

package reactor

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of a connection's life, raw: none of them waits, on a socket that
// does not block, so Go's scheduler need not know. If it does, it takes the
// processor away from a loop that happens to be in one of them when its 10 ms
// are over, and what follows are task switches.

func closeFD(fd int) { _, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func shutdownWrite(fd int) error {
	return asError(syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0))
}

func newSocket(family int) (int, error) {
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return int(fd), asError(0, 0, errno)
}

// connect begins to connect; unix.EINPROGRESS says that the outcome is to come.
func connect(fd int, addr netip.AddrPort) error {
	var sa unix.RawSockaddrInet6 // the largest of what is used
	size := uintptr(unix.SizeofSockaddrInet6)
	if ip := addr.Addr(); ip.Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa))
		v4.Family, v4.Port, v4.Addr = unix.AF_INET, swapped(addr.Port()), ip.As4()
		size = unix.SizeofSockaddrInet4
	} else {
		sa.Family, sa.Port, sa.Addr, sa.Scope_id = unix.AF_INET6, swapped(addr.Port()), ip.As16(), zoneID(ip.Zone())
	}
	return asError(syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), size))
}

// localAddr returns a socket's own address, not valid if it broke.
func localAddr(fd int) netip.AddrPort {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size))); errno != 0 {
		return netip.AddrPort{}
	}
	return addrPort(&sa)
}

// resetOnClose makes the close of a socket send RST.
func resetOnClose(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// firstLocalPort returns the lowest port that the kernel chooses for a socket
// that connects, 0 if it does not say.
func firstLocalPort() (port uint16) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range") // of IPv6 too
	if err == nil {
		_, _ = fmt.Sscan(string(text), &port)
	}
	return port
}

// setOption sets an option that is a number. Errors mean that the socket broke,
// which shows later.
func setOption(fd, level, name int, value int32) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
}

func epollControl(epoll, what, fd int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd)}
	return asError(syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), uintptr(what), uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0))
}

// asError returns the error of a call, or nil.
func asError(_, _ uintptr, errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
