package preface

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"sluice/pkg/reactor"
)

// outcome is what awaiting a preface came to.
type outcome struct {
	read string
	err  error
}

// line is content with a line that begins as it should.
func line(b []byte) (bool, error) {
	if b[0] != 'h' {
		return false, errBad
	}
	return bytes.IndexByte(b, '\n') >= 0, nil
}

var errBad = errors.New("not a preface")

// owner is who awaits one in a loop.
type owner struct {
	s   reactor.Stream
	out chan outcome
}

func (o *owner) Understood(b []byte, err error) {
	o.out <- outcome{string(b), err}
	o.s.Close()
}

func (o *owner) Panicked() { o.out <- outcome{err: errors.New("panic")} }

// accept returns both ends of a new connection.
func accept(t *testing.T) (peer, c *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); a.Close() })
	return p.(*net.TCPConn), a.(*net.TCPConn)
}

// ways are how a preface can be awaited.
var ways = map[string]func(t *testing.T, read []byte, limits Limits) (peer *net.TCPConn, out <-chan outcome){
	"goroutine": func(t *testing.T, read []byte, limits Limits) (*net.TCPConn, <-chan outcome) {
		peer, c := accept(t)
		out := make(chan outcome, 2)
		go func() {
			b, err := Read(t.Context(), c, read, limits, line)
			out <- outcome{string(b), err}
		}()
		return peer, out
	},
	"loop": func(t *testing.T, read []byte, limits Limits) (*net.TCPConn, <-chan outcome) {
		g, err := reactor.NewGroup(1, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		g.Start()
		t.Cleanup(g.Close)
		peer, c := accept(t)
		o := &owner{out: make(chan outcome, 2)}
		l := g.Loops()[0]
		l.Post(func() {
			o.s = l.AdoptConn(c)
			Await(o.s, read, limits, line, o)
		})
		return peer, o.out
	},
}

// TestOutcomes has every outcome of both ways to await a preface.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	const long, short = time.Minute, 100 * time.Millisecond
	patient := Limits{Silent: long, Whole: long}
	type script struct {
		name   string
		read   string
		limits Limits
		peer   func(*net.TCPConn)
		want   outcome
	}
	say := func(parts ...string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			for _, p := range parts {
				_, _ = io.WriteString(c, p)
			}
		}
	}
	for _, x := range []script{
		{"whole", "", patient, say("hello\n"), outcome{"hello\n", nil}},
		{"in parts", "", patient, func(c *net.TCPConn) {
			for _, b := range []byte("hello\n") {
				_, _ = c.Write([]byte{b})
				time.Sleep(time.Millisecond)
			}
		}, outcome{"hello\n", nil}},
		{"read already", "hello\nmore", patient, say(), outcome{"hello\nmore", nil}},
		{"begun already", "hel", patient, say("lo\n"), outcome{"hello\n", nil}},
		{"bad", "", patient, say("GET"), outcome{"GET", errBad}},
		{"bad already", "GET", patient, say(), outcome{"GET", errBad}},
		{"left", "", patient, func(c *net.TCPConn) { c.Close() }, outcome{"", ErrLeft}},
		{"left by a reset", "", patient, func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() }, outcome{"", ErrLeft}},
		{"left in the middle", "", patient, func(c *net.TCPConn) { _, _ = io.WriteString(c, "hel"); c.Close() }, outcome{"hel", io.ErrUnexpectedEOF}},
		{"silent", "", Limits{Silent: short, Whole: long}, say(), outcome{"", os.ErrDeadlineExceeded}},
		{"silent, and that is all there is", "", Limits{Silent: long, Whole: short}, say(), outcome{"", os.ErrDeadlineExceeded}},
		{"slow", "", Limits{Silent: long, Whole: short}, say("hel"), outcome{"hel", os.ErrDeadlineExceeded}},
		{"slow already", "hel", Limits{Silent: long, Whole: short}, say(), outcome{"hel", os.ErrDeadlineExceeded}},
	} {
		for way, await := range ways {
			t.Run(x.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				peer, out := await(t, []byte(x.read), x.limits)
				x.peer(peer)
				select {
				case got := <-out:
					if got.read != x.want.read || !errors.Is(got.err, x.want.err) {
						t.Fatalf("unexpected outcome %q, %v; want %q, %v", got.read, got.err, x.want.read, x.want.err)
					}
				case <-time.After(30 * time.Second):
					t.Fatal("no outcome")
				}
			})
		}
	}
}

// TestBegunIsNotSilent waits for who has begun beyond the time in which it may
// be silent.
func TestBegunIsNotSilent(t *testing.T) {
	t.Parallel()
	for way, await := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			peer, out := await(t, []byte("h"), Limits{Silent: 20 * time.Millisecond, Whole: time.Minute})
			select {
			case got := <-out:
				t.Fatalf("unexpected outcome %q, %v", got.read, got.err)
			case <-time.After(100 * time.Millisecond):
			}
			_, _ = io.WriteString(peer, "i\n")
			if got := <-out; got.read != "hi\n" || got.err != nil {
				t.Fatalf("unexpected outcome %q, %v", got.read, got.err)
			}
		})
	}
}

// TestContext ends a Read, and leaves no deadline behind after one that
// succeeded.
func TestContext(t *testing.T) {
	t.Parallel()
	_, c := accept(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := Read(ctx, c, nil, Limits{Silent: time.Minute, Whole: time.Minute}, line); !errors.Is(err, context.Canceled) {
		t.Fatalf("unexpected end: %v", err)
	}

	peer, c := accept(t)
	_, _ = io.WriteString(peer, "hello\n")
	if _, err := Read(t.Context(), c, nil, Limits{Silent: 50 * time.Millisecond, Whole: 50 * time.Millisecond}, line); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _, _ = io.WriteString(peer, "x") })
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("unexpected end of the read behind it: %v", err)
	}
}

// TestStop says nothing to an owner that has stopped waiting.
func TestStop(t *testing.T) {
	t.Parallel()
	g, err := reactor.NewGroup(1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(g.Close)
	peer, c := accept(t)
	o := &owner{out: make(chan outcome, 2)}
	l := g.Loops()[0]
	l.Post(func() {
		o.s = l.AdoptConn(c)
		Await(o.s, nil, Limits{Silent: time.Millisecond, Whole: time.Millisecond}, line, o).Stop()
	})
	_, _ = io.WriteString(peer, "hello\n")
	select {
	case got := <-o.out:
		t.Fatalf("unexpected outcome %q, %v", got.read, got.err)
	case <-time.After(100 * time.Millisecond):
	}
}
