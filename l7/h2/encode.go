package h2

import (
	"golang.org/x/net/http2/hpack"
)

// encoder makes header blocks (RFC 7541) in memory that it keeps. It uses the
// static table and no dynamic one, as nginx and HAProxy do: what a proxy sends
// is others' words, of which few come again.
type encoder struct {
	b     []byte
	lower []byte
}

// noTable says that the encoder's dynamic table is empty from now on.
const noTable = 0x20

// encoder returns the session's, empty.
func (s *Session) encoder() *encoder {
	e := encoders(s)
	e.b = e.b[:0]
	return e
}

// encoders returns the memory for blocks.
func encoders(s *Session) *encoder {
	if s.enc == nil {
		s.enc = new(encoder)
	}
	return s.enc
}

// writeBlock sends the header block that e has made.
func (s *Session) writeBlock(id uint32, e *encoder, end bool) {
	if s.peer.smallTable { // to be said at the beginning of a block, though none is used (RFC 7541 4.2, 6.3)
		s.peer.smallTable = false
		e.b = append([]byte{noTable}, e.b...)
	}
	s.control(appendBlock(s.room(len(e.b)+frameHeaderLen), id, e.b, end))
	s.useful()
	if cap(e.b) > 16<<10 {
		s.enc = nil
	}
}

// status adds :status.
func (e *encoder) status(code []byte) {
	for i, known := range [...]string{"200", "204", "206", "304", "400", "404", "500"} {
		if string(code) == known {
			e.b = append(e.b, 0x80|byte(8+i))
			return
		}
	}
	e.indexed(8, code)
}

// pseudo adds :method, :scheme, :authority or :path by its place in the static
// table.
func (e *encoder) pseudo(index int, value []byte) { e.indexed(index, value) }

// field adds a field, whose name may be in any case.
func (e *encoder) field(name, value []byte) {
	e.lower = e.lower[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		e.lower = append(e.lower, c)
	}
	if i := staticIndex(e.lower); i > 0 {
		e.indexed(i, value)
		return
	}
	e.b = append(e.b, 0)
	e.b = appendString(e.b, e.lower)
	e.b = appendString(e.b, value)
}

// indexed adds a literal field without indexing whose name is in the static
// table (RFC 7541 6.2.2).
func (e *encoder) indexed(i int, value []byte) {
	if i < 15 {
		e.b = append(e.b, byte(i))
	} else {
		e.b = append(e.b, 15, byte(i-15))
	}
	e.b = appendString(e.b, value)
}

// appendString appends a string, in Huffman's code where that is shorter.
func appendString(b, s []byte) []byte {
	if n := hpack.HuffmanEncodeLength(string(s)); n < uint64(len(s)) {
		b = appendInt(b, 0x80, 7, n)
		return hpack.AppendHuffmanString(b, string(s))
	}
	return append(appendInt(b, 0, 7, uint64(len(s))), s...)
}

// appendInt appends an integer with a prefix of so many bits (RFC 7541 5.1).
func appendInt(b []byte, first byte, bits uint, n uint64) []byte {
	most := uint64(1)<<bits - 1
	if n < most {
		return append(b, first|byte(n))
	}
	b = append(b, first|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		b = append(b, 0x80|byte(n))
	}
	return append(b, byte(n))
}

// staticIndex returns where in the static table (RFC 7541, appendix A) a name
// is, or 0.
func staticIndex(name []byte) int {
	switch string(name) {
	case "accept-charset":
		return 15
	case "accept-encoding":
		return 16
	case "accept-language":
		return 17
	case "accept-ranges":
		return 18
	case "accept":
		return 19
	case "access-control-allow-origin":
		return 20
	case "age":
		return 21
	case "allow":
		return 22
	case "authorization":
		return 23
	case "cache-control":
		return 24
	case "content-disposition":
		return 25
	case "content-encoding":
		return 26
	case "content-language":
		return 27
	case "content-length":
		return 28
	case "content-location":
		return 29
	case "content-range":
		return 30
	case "content-type":
		return 31
	case "cookie":
		return 32
	case "date":
		return 33
	case "etag":
		return 34
	case "expect":
		return 35
	case "expires":
		return 36
	case "from":
		return 37
	case "host":
		return 38
	case "if-match":
		return 39
	case "if-modified-since":
		return 40
	case "if-none-match":
		return 41
	case "if-range":
		return 42
	case "if-unmodified-since":
		return 43
	case "last-modified":
		return 44
	case "link":
		return 45
	case "location":
		return 46
	case "max-forwards":
		return 47
	case "proxy-authenticate":
		return 48
	case "proxy-authorization":
		return 49
	case "range":
		return 50
	case "referer":
		return 51
	case "refresh":
		return 52
	case "retry-after":
		return 53
	case "server":
		return 54
	case "set-cookie":
		return 55
	case "strict-transport-security":
		return 56
	case "user-agent":
		return 58
	case "vary":
		return 59
	case "via":
		return 60
	case "www-authenticate":
		return 61
	}
	return 0
}
