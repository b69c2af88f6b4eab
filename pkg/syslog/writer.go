package syslog

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// patience is how long lines wait for a server that is away until they are
	// given up.
	patience = 5 * time.Second
	// The time between two attempts to reach it doubles from the first of these
	// to the second.
	firstPause, lastPause = 50 * time.Millisecond, time.Second
	// dialTimeout and writeTimeout bound single calls.
	dialTimeout, writeTimeout = 2 * time.Second, 5 * time.Second
	// maxDatagram is how much of a message is sent that no datagram can hold.
	maxDatagram = 8 << 10
)

// errClosed is what Write returns after Close.
var errClosed = errors.New("syslog: the writer is closed")

// Writer is an io.Writer of lines to one server, to which it connects when there
// is something to send, and again when that fails. Write is for one goroutine;
// Close may be called by any.
type Writer struct {
	network, addr string
	out           *link // nil while there is none
	closed        chan struct{}
	close         sync.Once
	buf           bytes.Buffer
}

// link is a connection to the server.
type link struct {
	conn   net.Conn
	stream bool // messages are framed
	gone   atomic.Bool
}

// New returns a Writer to a server at addr: network is udp or tcp, and addr
// host:port; or unix, and addr a path.
func New(network, addr string) *Writer {
	return &Writer{network: network, addr: addr, closed: make(chan struct{})}
}

// Write sends p, whole lines, each as a message. It returns how many bytes of them
// were sent, and why no more.
func (w *Writer) Write(p []byte) (sent int, err error) {
	end := time.Now().Add(patience)
	pause := firstPause
	for sent < len(p) {
		n, err := w.try(p[sent:])
		sent += n
		if err == nil {
			continue
		}
		if n > 0 {
			end, pause = time.Now().Add(patience), firstPause
		}
		if time.Until(end) < pause {
			return sent, err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-w.closed:
			return sent, errClosed
		}
	}
	return sent, nil
}

// try sends what it can of p over the present connection, or a new one.
func (w *Writer) try(p []byte) (sent int, err error) {
	if w.out != nil && w.out.gone.Load() {
		w.drop()
	}
	if w.out == nil {
		if w.out, err = dial(w.network, w.addr); err != nil {
			return 0, err
		}
	}
	if err := w.out.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		w.drop()
		return 0, err
	}
	if w.out.stream {
		sent, err = w.stream(p)
	} else {
		sent, err = w.datagrams(p)
	}
	if err != nil {
		w.drop()
	}
	return sent, err
}

// stream sends lines with counted octets. What was cut is sent again as a whole,
// over a connection of its own.
func (w *Writer) stream(p []byte) (sent int, err error) {
	w.buf.Reset()
	for line := range bytes.Lines(p) {
		text := bytes.TrimSuffix(line, []byte{'\n'})
		w.buf.Write(strconv.AppendInt(w.buf.AvailableBuffer(), int64(len(text)), 10))
		w.buf.WriteByte(' ')
		w.buf.Write(text)
	}
	n, err := w.out.conn.Write(w.buf.Bytes())
	if err == nil {
		return len(p), nil
	}
	for line := range bytes.Lines(p) { // those that went whole
		text := len(bytes.TrimSuffix(line, []byte{'\n'}))
		if n -= len(strconv.Itoa(text)) + 1 + text; n < 0 {
			break
		}
		sent += len(line)
	}
	return sent, err
}

func (w *Writer) datagrams(p []byte) (sent int, err error) {
	for line := range bytes.Lines(p) {
		text := bytes.TrimSuffix(line, []byte{'\n'})
		_, err := w.out.conn.Write(text)
		if errors.Is(err, syscall.EMSGSIZE) { // its end is lost, as RFC 5424 6.1 allows
			_, err = w.out.conn.Write(text[:min(len(text), maxDatagram)])
		}
		if err != nil {
			return sent, err
		}
		sent += len(line)
	}
	return sent, nil
}

func (w *Writer) drop() {
	w.out.conn.Close()
	w.out = nil
}

// Close ends a Write that waits, and every later one that has to. What is being
// written may still be.
func (w *Writer) Close() error {
	w.close.Do(func() { close(w.closed) })
	return nil
}

// dial connects to a server. A unix socket takes datagrams, or else is a stream.
func dial(network, addr string) (*link, error) {
	if network == "unix" {
		conn, err := net.DialTimeout("unixgram", addr, dialTimeout)
		if err == nil {
			return &link{conn: conn}, nil
		}
		if !errors.Is(err, syscall.EPROTOTYPE) {
			return nil, err
		}
	}
	conn, err := net.DialTimeout(network, addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, stream: network != "udp"}
	if l.stream {
		// What is written to a server that has gone would seem to be sent.
		go func() {
			_, _ = io.Copy(io.Discard, conn) // until the connection ends, by either side
			l.gone.Store(true)
		}()
	}
	return l, nil
}
