package handover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	// Variable says what a process hands to its successor: the number of the
	// descriptor to tell by that it is ready, and the names of the sockets.
	Variable = "SLUICE_HANDOVER"
	// Passed begins an address that is the name, or the number, of a socket that
	// was passed, as in HAProxy; pkg/config knows it, too.
	Passed = "fd@"
	// firstFD is the number of the first descriptor, see sd_listen_fds(3).
	firstFD = 3
)

// socket is a listening socket that was passed.
type socket struct {
	name   string
	number int // its descriptor's, when the process was started
	kept   bool
	ln     *net.TCPListener
	addr   netip.AddrPort
}

// Sockets are the listening sockets that this process was started with. All
// methods are safe for concurrent use, and may be called on nil, which has none.
type Sockets struct {
	ready *os.File // what the predecessor waits for; nil without one

	// mu protects the fields below.
	mu   sync.Mutex
	left []socket // those that nobody has taken
}

// Names are the variables of an environment that are for this process alone.
func Names() []string {
	return []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", Variable}
}

// FromEnvironment returns the sockets that environ, "KEY=value" each, tells of,
// nil if there are none. Descriptors that are no listening TCP sockets are
// in the error and closed; the others are usable all the same.
func FromEnvironment(environ []string) (*Sockets, error) {
	value := func(name string) string {
		for _, kv := range slices.Backward(environ) {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				return v
			}
		}
		return ""
	}
	if v := value(Variable); v != "" {
		return fromPredecessor(v)
	}
	pid, err := strconv.Atoi(value("LISTEN_PID"))
	if err != nil || pid != os.Getpid() {
		return nil, nil // for somebody else, or nothing at all
	}
	n, err := strconv.Atoi(value("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, nil
	}
	names := strings.Split(value("LISTEN_FDNAMES"), ":")
	s := &Sockets{}
	var problems []error
	for i := range n {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		problems = append(problems, s.adopt(socket{name: name, number: firstFD + i, kept: true}))
	}
	return s, errors.Join(problems...)
}

// fromPredecessor reads what encode writes.
func fromPredecessor(v string) (*Sockets, error) {
	parts := strings.Split(v, ":")
	number, err := strconv.Atoi(parts[0])
	if err != nil {
		return nil, fmt.Errorf("cannot read %s", Variable)
	}
	syscall.CloseOnExec(number)
	s := &Sockets{ready: os.NewFile(uintptr(number), "ready")}
	var problems []error
	for i, escaped := range parts[1:] {
		name, kept := strings.CutPrefix(escaped, "+")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s", Variable)
		}
		problems = append(problems, s.adopt(socket{name: name, number: number + 1 + i, kept: kept}))
	}
	return s, errors.Join(problems...)
}

// encode returns the value of Variable for offers whose descriptors follow the
// one at number.
func encode(number int, offers []Offer) string {
	parts := []string{strconv.Itoa(number)}
	for _, o := range offers {
		name := url.QueryEscape(o.Name)
		if o.Kept {
			name = "+" + name
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ":")
}

// adopt takes the descriptor of x.
func (s *Sockets) adopt(x socket) error {
	f := os.NewFile(uintptr(x.number), "socket")
	if f == nil {
		return fmt.Errorf("descriptor %d was not passed", x.number)
	}
	defer f.Close() // FileListener makes a copy, which is not inherited
	ln, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("descriptor %d (%q) is no listening socket: %w", x.number, x.name, err)
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		ln.Close()
		return fmt.Errorf("descriptor %d (%q) is no TCP socket but %s", x.number, x.name, ln.Addr().Network())
	}
	x.ln = tcp
	x.addr, _ = netip.ParseAddrPort(tcp.Addr().String())
	s.left = append(s.left, x)
	return nil
}

// Take returns the socket for who listens, as name in the words of Offer, at
// addr, [HOST]:PORT or "fd@NAME", and nil if none was passed; an error only if
// there must be one. The caller closes it. It is kept if systemd has it, too, and
// will pass it to the process that comes after this one.
func (s *Sockets) Take(name, addr string) (ln *net.TCPListener, kept bool, err error) {
	var found *socket
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := s.find(name, addr); i >= 0 {
			x := s.left[i]
			s.left = slices.Delete(s.left, i, i+1)
			found = &x
		}
	}
	wanted, must := strings.CutPrefix(addr, Passed)
	switch {
	case found != nil:
		return found.ln, found.kept, nil
	case must:
		return nil, false, fmt.Errorf("no socket %q was passed to this process (by systemd: FileDescriptorName=%s, or its number, 3 or above)", wanted, wanted)
	}
	return nil, false, nil
}

// find returns the index of what fits; s.mu is held. A predecessor's name is
// best: it tells apart what was bound to ports that the system chose.
func (s *Sockets) find(name, addr string) int {
	if i := slices.IndexFunc(s.left, func(x socket) bool { return x.name == name }); i >= 0 {
		return i
	}
	if wanted, ok := strings.CutPrefix(addr, Passed); ok {
		number, err := strconv.Atoi(wanted)
		return slices.IndexFunc(s.left, func(x socket) bool { return x.name == wanted || err == nil && x.number == number })
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return -1
	}
	bound, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return -1
	}
	ip, _ := netip.AddrFromSlice(bound.IP) // not valid without one
	ip = ip.Unmap()
	at := func(same func(netip.Addr) bool) int {
		return slices.IndexFunc(s.left, func(x socket) bool { return int(x.addr.Port()) == bound.Port && same(x.addr.Addr()) })
	}
	if i := at(func(a netip.Addr) bool { return a.Unmap() == ip }); i >= 0 {
		return i
	}
	if ip.IsValid() && !ip.IsUnspecified() {
		return -1
	}
	return at(netip.Addr.IsUnspecified) // of both families, or of one
}

// CloseRest closes the sockets that nobody has taken and returns where they are
// bound.
func (s *Sockets) CloseRest() (addrs []string) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.left {
		x.ln.Close()
		addrs = append(addrs, x.addr.String())
	}
	s.left = nil
	return addrs
}

// HasPredecessor reports whether another process waits to be told that this one
// is ready.
func (s *Sockets) HasPredecessor() bool { return s != nil && s.ready != nil }

// Ready tells the predecessor, if there is one, that this process serves.
func (s *Sockets) Ready() error {
	if !s.HasPredecessor() {
		return nil
	}
	_, err := s.ready.Write([]byte{1})
	s.ready.Close()
	s.ready = nil
	return err
}
