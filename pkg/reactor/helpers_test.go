package reactor

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"
)

func newGroup(t *testing.T, n int) *Group {
	t.Helper()
	g, err := NewGroup(n, newLogger())
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(g.Close)
	return g
}

// echo writes back what it reads, with bounded memory, and ends after the
// peer.
type echo struct {
	pending []byte
	share   int // bytes per turn
	eof     bool
}

func (e *echo) Ready(s Stream) {
	l := s.Loop()
	for moved := 0; ; {
		if e.pending != nil {
			n, err := s.Write(e.pending)
			if err != nil && !errors.Is(err, ErrAgain) {
				s.Close()
				return
			}
			if n < len(e.pending) {
				rest := l.Borrow(e.pending[n:])
				l.Return(e.pending)
				e.pending = rest
				return
			}
			l.Return(e.pending)
			e.pending = nil
		}
		if e.eof {
			s.Close()
			return
		}
		if !s.Readable() {
			return
		}
		if moved > e.share {
			l.Again(s)
			return
		}
		n, err := s.Read(l.Scratch())
		switch {
		case errors.Is(err, io.EOF):
			e.eof = true
		case errors.Is(err, ErrAgain):
			return
		case err != nil:
			s.Close()
			return
		default:
			moved += n
			e.pending = l.Borrow(l.Scratch()[:n])
		}
	}
}

// wantStreams waits until g has n streams.
func wantStreams(t *testing.T, g *Group, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got := 0
		for _, l := range g.Loops() {
			got += l.Streams()
		}
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("unexpected number of streams; got %d; want %d", got, n)
		}
	}
}

type handlerFunc func(Stream)

func (f handlerFunc) Ready(s Stream) { f(s) }

func newLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }
