package clienthello

import (
	"encoding/binary"
	"errors"
)

// MaxSize is how many bytes a ClientHello may take with the headers of its
// records. It is far above what clients send: about 300 bytes, 1,800 with
// ML-KEM, and a session ticket on top.
const MaxSize = 64 << 10

var (
	// ErrShort says that the bytes are the beginning of a ClientHello, as far
	// as they go: read more.
	ErrShort = errors.New("clienthello: message is not complete")
	// ErrNotTLS says that the bytes do not begin with a handshake record of
	// TLS: the client speaks something else.
	ErrNotTLS = errors.New("clienthello: not TLS")
)

// Malformed is why bytes that begin as TLS does hold no ClientHello that can
// be read. Its values are a closed set without anything of the client's in it.
type Malformed string

// Error returns the reason.
func (m Malformed) Error() string { return "clienthello: malformed: " + string(m) }

// What Parse finds wrong with bytes.
const (
	errRecord     Malformed = "a record within the message is not one of a handshake"
	errType       Malformed = "the first message is not a ClientHello"
	errLarge      Malformed = "the message is larger than 64 KiB"
	errFrame      Malformed = "a field does not fit the message"
	errDuplicate  Malformed = "an extension comes twice"
	errServerName Malformed = "server_name does not hold one name"
	errName       Malformed = "the server's name is not one of DNS"
)

// Hello is what a ClientHello says. It shares no memory with the bytes.
type Hello struct {
	// ServerName is the name that the client wants to reach, in lower case and
	// without a dot at its end; "" if it gives none.
	ServerName string
}

// The layout of records and handshakes (RFC 8446, 4, 5.1 and B.3).
const (
	recordHandshake = 22
	sizeRecord      = 5 // without the fragment
	maxFragment     = 1 << 14

	typeClientHello = 1
	sizeHandshake   = 4 // type and length
	sizeRandom      = 32

	extServerName = 0
)

// Parse reads the ClientHello at the beginning of b, all that a client has
// sent so far; b is the client's and goes to the backend as it is. With
// ErrShort, b may become a ClientHello, at most MaxSize long, once more has
// come; ErrNotTLS and a Malformed are final.
//
// Parse neither keeps b nor writes to it. It allocates nothing but what it
// returns, and until a ClientHello is complete it looks only at the headers of
// its records, so asking again with every byte is cheap.
func Parse(b []byte) (Hello, error) {
	b = b[:min(len(b), MaxSize)]
	size, err := measure(b)
	if err != nil {
		return Hello{}, err
	}
	r := reader{b: b, n: size}
	h, err := r.hello()
	if err != nil {
		return Hello{}, err
	}
	return h, nil
}

// measure returns the size of the ClientHello that b begins with, records'
// headers apart, if all of it is there.
func measure(b []byte) (size int, err error) {
	var header [sizeHandshake]byte
	got := 0 // bytes of the message in the records so far
	for rest := b; ; {
		fragment, err := record(rest)
		if err != nil && !errors.Is(err, ErrShort) && got > 0 {
			return 0, errRecord
		}
		if err != nil {
			return 0, shortOf(b, err)
		}
		body := rest[sizeRecord:min(len(rest), sizeRecord+fragment)]
		if got < sizeHandshake {
			copy(header[got:], body)
		}
		got += len(body)
		if got > 0 && header[0] != typeClientHello {
			return 0, errType
		}
		if got >= sizeHandshake {
			size = sizeHandshake + int(header[1])<<16 + int(binary.BigEndian.Uint16(header[2:]))
			if sizeRecord+size > MaxSize {
				return 0, errLarge
			}
			if got >= size {
				return size, nil
			}
		}
		if len(body) < fragment {
			return 0, shortOf(b, ErrShort)
		}
		rest = rest[sizeRecord+fragment:]
	}
}

// shortOf returns err, unless b is short and as long as it may be.
func shortOf(b []byte, err error) error {
	if errors.Is(err, ErrShort) && len(b) == MaxSize {
		return errLarge
	}
	return err
}

// record returns how long the fragment of the record at the beginning of b is.
// A handshake has no empty ones (RFC 8446, 5.1), and the lower byte of the
// version tells nothing.
func record(b []byte) (fragment int, err error) {
	if len(b) > 0 && b[0] != recordHandshake || len(b) > 1 && b[1] != 3 {
		return 0, ErrNotTLS
	}
	if len(b) < sizeRecord {
		return 0, ErrShort
	}
	fragment = int(binary.BigEndian.Uint16(b[3:]))
	if fragment == 0 || fragment > maxFragment {
		return 0, ErrNotTLS
	}
	return fragment, nil
}

// reader reads n bytes of a message that lies in one or more whole records, as
// measure has found it. Its methods report whether n was enough; a copy of it
// reads the same bytes again.
type reader struct {
	b    []byte // what follows; begins with a record's header if left is 0
	left int    // bytes before the next record's header
	n    int
}

// take moves over n bytes, of which it copies the first to p.
func (r *reader) take(p []byte, n int) bool {
	if n > r.n {
		return false
	}
	r.n -= n
	for n > 0 {
		if r.left == 0 {
			r.left = int(binary.BigEndian.Uint16(r.b[3:]))
			r.b = r.b[sizeRecord:]
		}
		k := min(n, r.left)
		p = p[copy(p, r.b[:k]):]
		r.b = r.b[k:]
		r.left -= k
		n -= k
	}
	return true
}

// uint reads a number of 1 or 2 bytes.
func (r *reader) uint(width int) (v int, ok bool) {
	var p [2]byte
	ok = r.take(p[2-width:], width)
	return int(binary.BigEndian.Uint16(p[:])), ok
}

// vector reads a length of 1 or 2 bytes and returns a reader of what follows
// it, which it moves over.
func (r *reader) vector(width int) (v reader, ok bool) {
	n, ok := r.uint(width)
	if !ok || n > r.n {
		return reader{}, false
	}
	v = reader{b: r.b, left: r.left, n: n}
	return v, r.take(nil, n)
}

// only reads a vector with which r must end.
func (r *reader) only(width int) (v reader, ok bool) {
	v, ok = r.vector(width)
	return v, ok && r.n == 0
}

// hello reads the message (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2).
func (r *reader) hello() (h Hello, err error) {
	ok := r.take(nil, sizeHandshake)
	_, ok1 := r.uint(2) // the version that is offered
	ok = ok && ok1 && r.take(nil, sizeRandom)
	session, ok1 := r.vector(1)
	suites, ok2 := r.vector(2)
	methods, ok3 := r.vector(1)
	if !ok || !ok1 || !ok2 || !ok3 || session.n > 32 || suites.n == 0 || suites.n%2 != 0 || methods.n == 0 {
		return h, errFrame
	}
	if r.n == 0 {
		return h, nil // before TLS 1.3 there need not be extensions
	}
	extensions, ok := r.only(2)
	if !ok {
		return h, errFrame
	}
	for named := false; extensions.n > 0; {
		kind, ok1 := extensions.uint(2)
		ext, ok2 := extensions.vector(2)
		switch {
		case !ok1 || !ok2:
			return h, errFrame
		case kind != extServerName:
			continue
		case named:
			return h, errDuplicate
		}
		named = true
		if h.ServerName, err = ext.serverName(); err != nil {
			return h, err
		}
	}
	return h, nil
}

// serverName reads server_name (RFC 6066, 3). Names of types other than
// host_name are moved over: they all begin with a length.
func (r *reader) serverName() (name string, err error) {
	list, ok := r.only(2)
	if !ok || list.n == 0 {
		return "", errServerName
	}
	found := false
	for list.n > 0 {
		kind, ok1 := list.uint(1)
		value, ok2 := list.vector(2)
		if !ok1 || !ok2 || value.n == 0 || kind == 0 && found {
			return "", errServerName
		}
		if kind != 0 {
			continue
		}
		found = true
		if value.n > maxName+1 {
			return "", errName
		}
		var buf [maxName + 1]byte
		raw := buf[:value.n]
		value.take(raw, len(raw))
		if name, ok = hostName(raw); !ok {
			return "", errName
		}
	}
	return name, nil
}
