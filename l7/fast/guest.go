package fast

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/l7/plain"
	"sluice/pkg/tcp"
)

// lookEvery is how often it is looked whether a client of somebody's server is
// still there: what it sends is not ours to read.
const lookEvery = 250 * time.Millisecond

// guest is the client of a request that came by somebody's server, as
// plain.Client.
type guest struct {
	ctx     *fasthttp.RequestCtx
	session plain.Session
	raw     syscall.RawConn // of the connection, or nil

	stop chan struct{} // ends the look that Watch began
	wg   sync.WaitGroup
}

var _ plain.Client = (*guest)(nil)

func newGuest(h *Handler, ctx *fasthttp.RequestCtx) *guest {
	a := gate.Arrival{Client: addrPortOf(ctx.RemoteAddr()), Local: addrPortOf(ctx.LocalAddr()), TLS: ctx.TLSConnectionState()}
	g := &guest{ctx: ctx}
	g.session.Client = h.proxy.Client(a)
	g.session.Served = ctx.ConnRequestNum() > 1
	if sc, ok := tcp.Innermost(ctx.Conn()).(syscall.Conn); ok {
		g.raw, _ = sc.SyscallConn()
	}
	return g
}

func addrPortOf(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// Interim sends nothing: answers to requests before this one may still be in
// fasthttp's buffer, and 100 Continue it sends itself.
func (g *guest) Interim([]byte) error { return nil }

// Watch looks now and then whether the client is there.
func (g *guest) Watch(gone func(error)) {
	g.stop = make(chan struct{})
	if g.raw == nil {
		return
	}
	stop := g.stop
	g.wg.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			var err error
			if failed := g.raw.Control(func(fd uintptr) { err = plain.Ended(fd) }); failed != nil {
				err = failed
			}
			if err != nil {
				gone(err)
				return
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
}

// Unwatch ends Watch.
func (g *guest) Unwatch() {
	close(g.stop)
	g.wg.Wait()
}

// Broken reports whether the client has reset the connection.
func (g *guest) Broken() (broken bool) {
	if g.raw != nil {
		_ = g.raw.Control(func(fd uintptr) { broken = plain.Broken(fd) })
	}
	return broken
}

// Interrupt makes reads of the body fail.
func (g *guest) Interrupt() {
	if c := g.ctx.Conn(); c != nil {
		_ = c.SetReadDeadline(past)
	}
}

// Resume ends what Interrupt began.
func (g *guest) Resume() { _ = g.ctx.SetReadDeadline(time.Time{}) }

// Body begins to read the body, which fasthttp unframes.
func (g *guest) Body(frame http1.Body) plain.Body {
	b := &guestBody{g: g, frame: frame, left: frame.Length}
	if b.r = g.ctx.RequestBodyStream(); b.r == nil {
		b.r, b.buffered = bytes.NewReader(g.ctx.Request.Body()), true
		if frame.Length == http1.Chunked {
			b.left = int64(len(g.ctx.Request.Body()))
		}
	}
	return b
}

// guestBody is a body that somebody's fasthttp.Server reads.
type guestBody struct {
	g        *guest
	frame    http1.Body
	r        io.Reader
	left     int64 // bytes to come, or http1.Chunked
	buffered bool  // all of it has come
	over     bool
}

// Read reads data, until by at the latest; see plain.Body. That a body with a
// length has ended early fasthttp does not say.
func (b *guestBody) Read(p []byte, by time.Time) (int, error) {
	if b.over || b.left == 0 {
		return 0, b.end()
	}
	if !b.buffered {
		_ = b.g.ctx.SetReadDeadline(by)
	}
	n, err := b.r.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case n > 0:
		if b.left == 0 || b.left < 0 && errors.Is(err, io.EOF) {
			_ = b.end()
		}
		return n, nil
	case errors.Is(err, io.EOF) && b.left <= 0:
		return 0, b.end()
	case errors.Is(err, io.EOF):
		return 0, io.ErrUnexpectedEOF
	case isNetwork(err):
		return 0, err
	}
	return 0, plain.Malformed{Err: err}
}

// isNetwork reports whether err is that of a connection, not of a framing.
func isNetwork(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET)
}

// end notes that all of the body has come, with the trailer that fasthttp has put
// among the fields of the head.
func (b *guestBody) end() error {
	if b.over {
		return io.EOF
	}
	b.over = true
	if b.frame.Length != http1.Chunked {
		return io.EOF
	}
	last := []byte("0\r\n")
	h := &b.g.ctx.Request.Header
	for _, name := range h.PeekTrailerKeys() {
		if value := h.PeekBytes(name); len(value) > 0 {
			last = http1.AppendField(last, &http1.Field{Name: name, Value: value})
		}
	}
	if _, _, err := b.frame.Decode(append(last, "\r\n"...)); err != nil {
		return plain.Malformed{Err: err}
	}
	return io.EOF
}

// AtHand reports whether Read does not wait: fasthttp has read the beginning of a
// body with a length before it called the handler.
func (b *guestBody) AtHand() bool { return b.buffered || b.left >= 0 && b.left == b.frame.Length }

// AtEnd reports whether all of the body is known to have come.
func (b *guestBody) AtEnd() bool { return b.over }

// Framing returns the parser, for the trailer.
func (b *guestBody) Framing() *http1.Body { return &b.frame }

// setTrailer tells fasthttp of the fields of a response's trailer that were
// announced.
func (g *guest) setTrailer(x *plain.Exchange) {
	for rest := x.Trailer(); len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if f, ok := http1.ParseField(line); ok {
			g.ctx.Response.Header.SetBytesKV(f.Name, f.Value)
		}
	}
}

// hijacked is a connection that was hijacked, as plain.Duplex.
type hijacked struct{ net.Conn }

// CloseWrite ends our direction.
func (h hijacked) CloseWrite() error {
	if u, ok := h.Conn.(interface{ UnsafeConn() net.Conn }); ok {
		return tcp.CloseWrite(u.UnsafeConn())
	}
	return tcp.CloseWrite(h.Conn)
}
