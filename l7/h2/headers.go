package h2

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"golang.org/x/net/http2/hpack"

	"sluice/l7/http1"
)

const (
	// decoderTable is how large the dynamic table of a peer's encoder may be: the
	// size that it has if nobody says otherwise.
	decoderTable = 4096
	// maxContinuations is how many frames may continue a header block, of which
	// one frame holds most.
	maxContinuations = 16
)

// block is a header block that is coming, and what has come of it.
type block struct {
	dec     *hpack.Decoder
	list    list
	id      uint32 // its stream; 0 if there is none under way
	frames  int    // that have continued it
	bytes   int
	since   int64 // when it began, or the session did
	end     bool  // END_STREAM
	self    bool  // its stream depends on itself
	preface bool  // the client's first words have come
}

func (b *block) init(s *Session) {
	b.since = s.l.Now()
	b.list.max, b.list.lenient = s.cfg.MaxHead, s.role == asking
	b.dec = hpack.NewDecoder(decoderTable, b.list.add)
	b.dec.SetMaxStringLength(2 * s.cfg.MaxHead)
}

// takeHeaders takes a HEADERS frame.
func (s *Session) takeHeaders(f *frame) *fault {
	if f.id == 0 {
		return &fault{ProtocolError, "HEADERS of the connection"}
	}
	if flt := f.unpad(); flt != nil {
		return flt
	}
	b := &s.block
	b.id, b.end, b.self, b.frames, b.bytes, b.since = f.id, f.has(flagEndStream), false, 0, 0, s.l.Now()
	b.list.reset()
	if f.has(flagPriority) {
		if len(f.payload) < 5 {
			return &fault{FrameSizeError, "HEADERS without the priority that it announces"}
		}
		b.self = binary.BigEndian.Uint32(f.payload)&maxStreamID == f.id
		f.payload = f.payload[5:]
	}
	if s.role == serving && f.id%2 == 0 {
		return &fault{ProtocolError, "a stream of a client with an even number"}
	}
	if s.role == asking && s.isIdle(f.id) {
		return &fault{ProtocolError, "HEADERS of a stream that was not opened"}
	}
	return s.takeFragment(f)
}

// takeContinuation takes a CONTINUATION frame.
func (s *Session) takeContinuation(f *frame) *fault {
	b := &s.block
	if b.id == 0 {
		return &fault{ProtocolError, "CONTINUATION of nothing"}
	}
	if b.frames++; b.frames > maxContinuations || len(f.payload) == 0 && !f.has(flagEndHeaders) {
		return &fault{EnhanceYourCalm, "a header block in too many frames"}
	}
	return s.takeFragment(f)
}

func (s *Session) takeFragment(f *frame) *fault {
	b := &s.block
	if b.bytes += len(f.payload); b.bytes > 4*s.cfg.MaxHead {
		return &fault{EnhanceYourCalm, "a header block that is too large"}
	}
	if _, err := b.dec.Write(f.payload); err != nil {
		if errors.Is(err, hpack.ErrStringLength) {
			return &fault{EnhanceYourCalm, "a header that is too large"}
		}
		return &fault{CompressionError, err.Error()}
	}
	if !f.has(flagEndHeaders) {
		s.arm(s.cfg.HeadTimeout)
		return nil
	}
	if err := b.dec.Close(); err != nil {
		return &fault{CompressionError, err.Error()}
	}
	id := b.id
	b.id = 0
	if s.role == serving {
		return s.takeRequest(id)
	}
	return s.takeResponse(id)
}

// takeRequest takes the head of a request, or its trailer section, which is in
// s.block.
func (s *Session) takeRequest(id uint32) *fault {
	b := &s.block
	if st := s.streams[id]; st != nil {
		return st.takeTrailer(b)
	}
	if id <= s.last {
		if s.wasResetByUs(id) {
			return s.glitch(emptyCost)
		}
		return &fault{StreamClosed, "HEADERS of a stream that has ended"}
	}
	s.last = id
	switch {
	case id > s.leaving.bound:
		return s.glitch(unknownCost) // it knows that it is lost
	case len(s.streams) >= s.cfg.MaxStreams:
		s.sendReset(id, RefusedStream)
		return s.wastes()
	case b.self:
		s.sendReset(id, ProtocolError)
		return s.wastes()
	}
	st := s.newStream(id)
	if b.list.tooLarge {
		st.req.tooLarge = true
	} else if why := st.setRequest(&b.list); why != "" {
		delete(s.streams, id)
		s.sendReset(id, ProtocolError)
		return s.wastes()
	}
	st.recvEnd = b.end
	if b.end && st.req.declared > 0 {
		delete(s.streams, id)
		s.sendReset(id, ProtocolError)
		return s.wastes()
	}
	s.useful()
	s.fresh = append(s.fresh, st)
	return nil
}

// takeResponse takes the head of a backend's response, an interim one, or the
// trailer section.
func (s *Session) takeResponse(id uint32) *fault {
	b := &s.block
	st := s.streams[id]
	if st == nil || st.recvEnd {
		return s.strayFrame(id, st)
	}
	s.useful()
	if st.in.headed {
		return st.takeTrailer(b)
	}
	if why := st.setResponse(&b.list, b.end); why != "" {
		st.fail(errors.New("h2: malformed response: " + why))
		s.sendReset(id, ProtocolError)
		st.remove()
	}
	return nil
}

// list is a header list as it comes out of a block, judged field by field.
type list struct {
	method, scheme, authority, path, protocol, status string

	fields   []hpack.HeaderField // without pseudo fields
	size     int
	max      int
	bad      string // what is wrong with it
	tooLarge bool
	lenient  bool  // blanks around values are taken off: backends send them
	pseudo   uint8 // which pseudo fields there are
}

func (l *list) reset() {
	clear(l.fields)
	*l = list{fields: l.fields[:0], max: l.max, lenient: l.lenient}
}

// add takes a field, and notes what is wrong with it (RFC 9113 8.2, 8.3).
func (l *list) add(f hpack.HeaderField) {
	if l.size += len(f.Name) + len(f.Value) + 32; l.size > l.max {
		l.tooLarge = true
		return
	}
	if l.lenient {
		f.Value = strings.Trim(f.Value, " \t")
	}
	switch {
	case l.bad != "":
	case len(f.Name) > 0 && f.Name[0] == ':':
		l.addPseudo(f)
	case !isFieldName(f.Name):
		l.bad = "the name of a field has a byte that none has"
	case !isFieldValue(f.Value):
		l.bad = "the value of a field has a byte that none has, or a space at an end"
	case isConnectionField(f):
		l.bad = "a field for the connection"
	default:
		l.fields = append(l.fields, f)
	}
}

// drop takes the fields of a name off the list.
func (l *list) drop(name string) {
	l.fields = slices.DeleteFunc(l.fields, func(f hpack.HeaderField) bool { return f.Name == name })
}

func (l *list) addPseudo(f hpack.HeaderField) {
	var to *string
	var bit uint8
	switch f.Name {
	case ":method":
		to, bit = &l.method, 1
	case ":scheme":
		to, bit = &l.scheme, 2
	case ":authority":
		to, bit = &l.authority, 4
	case ":path":
		to, bit = &l.path, 8
	case ":protocol":
		to, bit = &l.protocol, 16
	case ":status":
		to, bit = &l.status, 32
	}
	switch {
	case to == nil:
		l.bad = "a pseudo field that is not known"
	case len(l.fields) > 0:
		l.bad = "a pseudo field behind others"
	case l.pseudo&bit != 0:
		l.bad = "a pseudo field twice"
	default:
		l.pseudo |= bit
		*to = f.Value
	}
}

// has reports whether there are exactly the pseudo fields of those bits, and of
// optional ones.
func (l *list) has(must, may uint8) bool { return l.pseudo&must == must && l.pseudo&^(must|may) == 0 }

const (
	hasMethod, hasScheme, hasAuthority, hasPath, hasProtocol, hasStatus = 1, 2, 4, 8, 16, 32
)

// isFieldName reports whether s is a token in lower case.
func isFieldName(s string) bool {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return http1.IsToken([]byte(s))
}

// isFieldValue reports whether s is a value: visible, or with blanks inside.
func isFieldValue(s string) bool {
	if n := len(s); n > 0 && (isBlank(s[0]) || isBlank(s[n-1])) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isConnectionField reports whether a field is one that HTTP/2 has no use for
// (RFC 9113 8.2.2).
func isConnectionField(f hpack.HeaderField) bool {
	switch f.Name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return true
	case "te":
		return !http1.EqualFold([]byte(f.Value), "trailers")
	}
	return false
}
