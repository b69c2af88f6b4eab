package reactor

import (
	"log/slog"
	"testing"
	"time"
)

// part is a stream without a descriptor: it has one byte to read.
type part struct{ Part }

func (p *part) Read(b []byte) (int, error) {
	p.SetReadable(false)
	b[0] = 'x'
	return 1, nil
}
func (p *part) Write(b []byte) (int, error) { return len(b), nil }
func (p *part) CloseWrite() error           { return nil }
func (p *part) Reset()                      { p.SetBroken() }
func (p *part) Close()                      { p.Leave() }

// partReader counts what it is told.
type partReader struct {
	told  int
	after func()
}

func (r *partReader) Ready(s Stream) {
	var b [1]byte
	if s.Readable() {
		_, _ = s.Read(b[:])
		r.told++
	}
	r.after()
}

// TestPart has a loop tell the handler of a stream that has no descriptor, once
// for each time that it was asked to, and not once the stream is closed.
func TestPart(t *testing.T) {
	t.Parallel()
	g, err := NewGroup(1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(g.Close)
	l := g.Loops()[0]
	done := make(chan int, 1)
	l.Post(func() {
		p := &part{}
		p.Join(l)
		r := &partReader{}
		r.after = func() {
			if r.told < 2 {
				p.SetReadable(true)
				l.Again(p)
				l.Again(p) // counts once
				return
			}
			l.Again(p)
			p.Close()
			if !p.Closed() || p.Loop() != l {
				t.Error("unexpected state of a closed part")
			}
			l.Post(func() { l.Post(func() { done <- r.told }) })
		}
		p.Handle(r)
		p.SetReadable(true)
		l.Again(p)
	})
	select {
	case n := <-done:
		if n != 2 {
			t.Fatalf("unexpected number of calls: %d", n)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the handler was not told")
	}
}
