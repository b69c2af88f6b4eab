package h2

import (
	"encoding/binary"
	"errors"
	"io"
	"syscall"
	"time"

	"sluice/pkg/reactor"
)

// role is what sluice is on a connection.
type role uint8

const (
	serving role = iota // clients ask
	asking              // it asks a backend
)

// Config is what sessions are bounded by. What is 0 has a default.
type Config struct {
	// MaxStreams is how many requests a client may have under way on one
	// connection. 0 means 128.
	MaxStreams int
	// MaxHead bounds a decoded header list, in bytes as RFC 9113 6.5.2 counts
	// them. 0 means 32 KiB.
	MaxHead int
	// HeadTimeout is the time that a client's first words may take, and a header
	// block; IdleTimeout that for which a connection is kept without a stream;
	// StallTimeout that for which a peer may take nothing of what is sent to it.
	// 0 means 10 s, 75 s and 60 s.
	HeadTimeout, IdleTimeout, StallTimeout time.Duration
	// Secure says that the connection is one of TLS, for :scheme.
	Secure bool
}

func (c Config) withDefaults() Config {
	if c.MaxStreams == 0 {
		c.MaxStreams = 128
	}
	if c.MaxHead == 0 {
		c.MaxHead = 32 << 10
	}
	for _, t := range []struct {
		d    *time.Duration
		zero time.Duration
	}{{&c.HeadTimeout, 10 * time.Second}, {&c.IdleTimeout, 75 * time.Second}, {&c.StallTimeout, 60 * time.Second}} {
		if *t.d == 0 {
			*t.d = t.zero
		}
	}
	return c
}

// Owner is whose a session is. It is told in the loop.
type Owner interface {
	// Request is told of a new request of a client, which st says as HTTP/1.1.
	Request(st *Stream)
	// Changed is told that the session has room for streams, or more or less of
	// it than before: after SETTINGS, the end of a stream, GOAWAY.
	Changed()
	// Ended is told, once, that the session is over, and why. Its streams are
	// told for themselves. A code other than NoError is what the peer was told.
	Ended(c Code, err error)
}

// Session is an HTTP/2 connection, and the handler of the stream below it. It
// belongs to one loop.
type Session struct {
	l      *reactor.Loop
	stream reactor.Stream
	owner  Owner
	cfg    Config
	role   role

	in    []byte // the beginning of a frame, of which the rest is to come
	out   output
	block block
	peer  peerSettings
	guard guard
	enc   *encoder

	streams map[uint32]*Stream
	fresh   []*Stream // whose requests are begun once what has come is understood
	last    uint32    // the highest stream that the asking side has opened
	reset   [32]uint32
	resets  int // how many of ours there were, of which reset has the latest

	send     int64 // how much DATA the peer takes now
	most     int64 // and the most that it ever took at once
	dry      int64 // when that had come to nothing last
	credit   int   // how much of our window it has used since it was told more
	held     int   // bytes of bodies that streams hold, and nobody has read
	leaving  leaving
	liveness liveness

	timer    reactor.Timer
	deadline int64
	ended    bool
	reading  bool // a flush follows
}

// leaving is how far a session has come to its end.
type leaving struct {
	phase  leavePhase
	bound  uint32 // streams above it are not served: ours, or the peer's word
	goAway bool   // the peer has said that it leaves
	since  int64
}

type leavePhase uint8

const (
	staying  leavePhase = iota
	warned              // the peer was told that it shall open no more streams
	departed            // and which was the last one
)

// liveness is when something was last heard of the peer.
type liveness struct {
	heard  int64 // when a byte came
	moved  int64 // when it took a byte, or there was none for it
	pinged int64 // when it was asked whether it is alive; 0 if no answer is due
	asked  int64 // when it was last asked
	idle   int64 // when the last stream ended
}

// Serve makes stream, of which read has come already, an HTTP/2 connection of a
// client.
func Serve(stream reactor.Stream, read []byte, cfg Config, o Owner) *Session {
	s := newSession(stream, serving, cfg, o)
	s.control(s.appendSettings(s.room(128)))
	s.arm(s.cfg.HeadTimeout)
	if len(read) > 0 {
		s.reading = true
		s.feed(append([]byte(nil), read...))
	}
	s.Ready(stream)
	return s
}

// Ask makes stream, which is new, an HTTP/2 connection to a backend.
func Ask(stream reactor.Stream, cfg Config, o Owner) *Session {
	s := newSession(stream, asking, cfg, o)
	s.last = ^uint32(0) // the first is 1
	s.block.preface = true
	s.control(s.appendSettings(append(s.room(128), Preface...)))
	s.arm(s.cfg.IdleTimeout)
	s.flush()
	return s
}

func newSession(stream reactor.Stream, r role, cfg Config, o Owner) *Session {
	s := &Session{l: stream.Loop(), stream: stream, owner: o, cfg: cfg.withDefaults(), role: r, streams: make(map[uint32]*Stream), peer: newPeerSettings(), send: firstWindow, most: firstWindow}
	s.leaving.bound = maxStreamID
	s.block.init(s)
	s.guard.glitches.since, s.guard.wasted.since = s.l.Now(), s.l.Now()
	s.liveness.heard, s.liveness.moved = s.l.Now(), s.l.Now()
	stream.Handle(s)
	return s
}

// Ready is told that the connection may be read or written.
func (s *Session) Ready(reactor.Stream) {
	if s.ended {
		return
	}
	s.reading = true
	s.read()
	s.begin()
	s.reading = false
	s.flush()
}

// Panicked ends the session after a defect of ours.
func (s *Session) Panicked() {
	s.reading = false
	s.end(InternalError, errors.New("h2: panic"))
}

const (
	// readSize is how much is read at once, and share how much before others
	// get their turn.
	readSize = 64 << 10
	share    = 512 << 10
)

// read takes what has come.
func (s *Session) read() {
	for moved := 0; !s.ended && s.stream.Readable(); {
		if moved >= share {
			s.l.Again(s.stream)
			return
		}
		buf := s.l.Borrow(nil)
		n := copy(buf[:cap(buf)], s.in)
		k, err := s.stream.Read(buf[n:min(cap(buf), n+readSize)])
		if k > 0 {
			moved += k
			s.liveness.heard = s.l.Now()
			s.in = nil
			s.feed(buf[:n+k])
		}
		s.l.Return(buf)
		switch {
		case err == nil:
		case errors.Is(err, reactor.ErrAgain):
			return
		case errors.Is(err, io.EOF):
			s.end(NoError, io.EOF)
		default:
			s.end(NoError, err)
		}
	}
}

// feed takes p, bytes of the peer. What is no whole frame is kept.
func (s *Session) feed(p []byte) {
	if !s.block.preface {
		n := min(len(p), len(Preface))
		if string(p[:n]) != Preface[:n] {
			s.fail(&fault{ProtocolError, "the connection does not begin as HTTP/2 does"})
			return
		}
		if n < len(Preface) {
			s.in = append([]byte(nil), p...)
			return
		}
		s.block.preface = true
		p = p[n:]
	}
	for len(p) >= frameHeaderLen {
		n := frameLen(p)
		if n > maxFrame {
			s.fail(&fault{FrameSizeError, "a frame that is too large"})
			return
		}
		if len(p) < frameHeaderLen+n {
			break
		}
		f := frame{kind: p[3], flags: p[4], id: binary.BigEndian.Uint32(p[5:]) & maxStreamID, payload: p[frameHeaderLen : frameHeaderLen+n]}
		p = p[frameHeaderLen+n:]
		if flt := s.take(&f); flt != nil {
			s.fail(flt)
			return
		}
		if s.ended {
			return
		}
	}
	if len(p) > 0 {
		s.in = append([]byte(nil), p...)
	}
}

// take takes a frame.
func (s *Session) take(f *frame) *fault {
	if !s.peer.told && f.kind != frameSettings {
		return &fault{ProtocolError, "the first frame is not SETTINGS"}
	}
	if id := s.block.id; id != 0 && (f.kind != frameContinuation || f.id != id) {
		return &fault{ProtocolError, "a frame within a header block"}
	}
	switch f.kind {
	case frameData:
		return s.takeData(f)
	case frameHeaders:
		return s.takeHeaders(f)
	case frameContinuation:
		return s.takeContinuation(f)
	case framePriority:
		return s.takePriority(f)
	case frameRST:
		return s.takeReset(f)
	case frameSettings:
		return s.takeSettings(f)
	case framePushPromise:
		return &fault{ProtocolError, "PUSH_PROMISE"}
	case framePing:
		return s.takePing(f)
	case frameGoAway:
		return s.takeGoAway(f)
	case frameWindowUpdate:
		return s.takeWindowUpdate(f)
	}
	return s.glitch(unknownCost)
}

// refuse resets a stream, which may be none, or none any more.
func (s *Session) refuse(id uint32, c Code) *fault {
	if st := s.streams[id]; st != nil {
		return s.offends(st, c)
	}
	s.sendReset(id, c)
	return s.glitch(unknownCost)
}

func (s *Session) sendReset(id uint32, c Code) {
	s.reset[s.resets%len(s.reset)] = id
	s.resets++
	s.control(appendRST(s.room(13), id, c))
}

// begin hands the requests that have come to the owner.
func (s *Session) begin() {
	for len(s.fresh) > 0 && !s.ended {
		st := s.fresh[0]
		s.fresh[0] = nil
		if s.fresh = s.fresh[1:]; len(s.fresh) == 0 {
			s.fresh = nil
		}
		if st.Closed() || st.Broken() {
			continue // it was taken back
		}
		st.makeReady()
		s.owner.Request(st)
	}
}

// fail ends the session for an error of the connection.
func (s *Session) fail(f *fault) {
	if s.ended {
		return
	}
	s.control(appendGoAway(s.room(64), s.lastOfPeer(), f.code, f.why))
	s.flush()
	s.end(f.code, f)
}

// lastOfPeer returns the highest stream that the peer has opened.
func (s *Session) lastOfPeer() uint32 {
	if s.role == asking {
		return 0
	}
	return s.last
}

// Close ends the session at once, and what is under way on it.
func (s *Session) Close() {
	if !s.ended {
		s.end(NoError, nil)
	}
}

// end ends the session. Its streams break.
func (s *Session) end(c Code, err error) {
	if s.ended {
		return
	}
	s.ended = true
	s.l.Stop(&s.timer)
	for _, st := range s.streams {
		st.lost(err)
	}
	clear(s.streams)
	s.fresh, s.in = nil, nil
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(err, syscall.ECONNRESET) {
		s.stream.Reset()
	}
	s.stream.Close()
	s.out.drop(s.l)
	s.owner.Ended(c, err)
}
