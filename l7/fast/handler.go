package fast

import (
	"bytes"
	"io"
	"net"
	"strconv"

	"github.com/valyala/fasthttp"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/l7/plain"
)

// Handler balances the requests of anybody's fasthttp.Server, behind whatever
// middleware that has. The server must set StreamRequestBody for bodies to be
// streamed, and had better set DisablePreParseMultipartForm. All methods are safe
// for concurrent use.
type Handler struct {
	proxy *plain.Proxy
}

// New returns a handler that routes requests as cfg says. What it keeps, idle
// connections to backends, is kept for the life of the process; see NewHandler
// for more. The error names every route that cannot be used.
func New(cfg plain.Config) (fasthttp.RequestHandler, error) {
	h, err := NewHandler(cfg)
	if err != nil {
		return nil, err
	}
	return h.Handle, nil
}

// NewHandler is New for whoever changes routes or ends the handler. Close ends
// it.
func NewHandler(cfg plain.Config) (*Handler, error) {
	p, err := plain.New(cfg, &net.TCPAddr{}, "fasthttp")
	if err != nil {
		return nil, err
	}
	return &Handler{proxy: p}, nil
}

// SetRoutes replaces all routes at once, as Server.SetRoutes.
func (h *Handler) SetRoutes(routes []gate.Route) error { return h.proxy.SetRoutes(routes) }

// Drain makes every response from now on the last one on its connection.
func (h *Handler) Drain() { h.proxy.Drain() }

// Close closes the idle connections to backends. There must be no request any
// more.
func (h *Handler) Close() { h.proxy.Close() }

// Handle is a fasthttp.RequestHandler. The head of the request is judged as it
// came, strictly, before anything of it is forwarded; what middleware has made of
// it goes to the backend. The response is in ctx when it returns, and its body
// streams from the backend.
func (h *Handler) Handle(ctx *fasthttp.RequestCtx) {
	g := newGuest(h, ctx)
	x := h.proxy.Begin(g, &g.session)
	var wire http1.Head
	raw := appendWireHead(nil, ctx)
	if f, why := wire.Parse(raw); f != 0 {
		x.Malformed(f, why)
	} else {
		x.Do(appendHead(nil, ctx, &wire))
	}
	g.reply(x)
}

// appendWireHead appends the head of the request as it came.
func appendWireHead(dst []byte, ctx *fasthttp.RequestCtx) []byte {
	h := &ctx.Request.Header
	dst = appendRequestLine(dst, h)
	dst = append(dst, h.RawHeaders()...)
	if len(h.RawHeaders()) == 0 {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func appendRequestLine(dst []byte, h *fasthttp.RequestHeader) []byte {
	dst = append(append(dst, h.Method()...), ' ')
	dst = append(append(dst, h.RequestURI()...), ' ')
	return append(append(dst, h.Protocol()...), "\r\n"...)
}

// appendHead appends the head of the request as middleware has left it: what it
// did not touch is as it came, line by line.
func appendHead(dst []byte, ctx *fasthttp.RequestCtx, wire *http1.Head) []byte {
	h := &ctx.Request.Header
	dst = appendRequestLine(dst, h)
	for i := range wire.Fields {
		f := &wire.Fields[i]
		if frames(f.Name) || isCookie(f.Name) || holds(h, f.Name, f.Value) {
			dst = http1.AppendField(dst, f)
		}
	}
	for name, value := range h.All() {
		if frames(name) || isCookie(name) && len(http1.Value(wire.Fields, "cookie")) > 0 || came(wire.Fields, name, value) {
			continue
		}
		dst = http1.AppendField(dst, &http1.Field{Name: name, Value: value})
	}
	return append(dst, "\r\n"...)
}

// frames reports whether the field called name is about the connection or the
// framing of the request, which middleware has no say in.
func frames(name []byte) bool {
	switch http1.Classify(name) {
	case http1.KindContentLength, http1.KindTransferEncoding, http1.KindConnection, http1.KindTrailer, http1.KindExpect, http1.KindTE, http1.KindUpgrade:
		return true
	}
	return false
}

// isCookie reports whether name is Cookie, of which fasthttp knows no lines.
func isCookie(name []byte) bool { return http1.EqualFold(name, "cookie") }

// holds reports whether a field is still there.
func holds(h *fasthttp.RequestHeader, name, value []byte) bool {
	for _, v := range h.PeekAll(string(name)) {
		if bytes.Equal(v, value) {
			return true
		}
	}
	return false
}

// came reports whether a field came from the client.
func came(fields []http1.Field, name, value []byte) bool {
	for i := range fields {
		if f := &fields[i]; bytes.EqualFold(f.Name, name) && bytes.Equal(f.Value, value) {
			return true
		}
	}
	return false
}

// reply makes of what the client gets the response in ctx.
func (g *guest) reply(x *plain.Exchange) {
	ctx := g.ctx
	switch {
	case x.Aborted():
		x.End()
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(net.Conn) {}) // closes the connection without a word
		return
	case x.Switched():
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(c net.Conn) {
			defer x.End()
			defer g.session.Close()
			if _, err := c.Write(x.Out()); err != nil {
				x.ClientFailed(gate.ClientAbort, err)
				return
			}
			x.Tunnel(hijacked{c})
		})
		return
	}
	head, data := x.Head()
	resp := &ctx.Response
	resp.Header.DisableNormalizing()
	resp.Header.SetNoDefaultContentType(true)
	length := setHead(resp, head)
	if x.Closes() {
		ctx.SetConnectionClose()
	}
	body := &responseBody{x: x, g: g, data: data}
	switch {
	case ctx.IsHead() || !mayHaveBody(x.Status()):
		resp.SkipBody = true
		if length >= 0 {
			resp.Header.SetContentLength(length)
		}
		_ = body.CloseWithError(nil)
	default:
		resp.ImmediateHeaderFlush = !x.AtEnd() // what has come is the client's, whatever follows
		resp.SetBodyStream(body, length)
	}
}

func mayHaveBody(status int) bool { return status >= 200 && status != 204 && status != 304 }

// setHead makes head that of resp. It returns the length of the body, or -1 if it
// is not known.
func setHead(resp *fasthttp.Response, head []byte) (length int) {
	length = -1
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) >= len("HTTP/1.1 200") {
		status, _ := strconv.Atoi(string(line[9:12]))
		resp.SetStatusCode(status)
		if phrase := line[12:]; len(phrase) > 1 {
			resp.Header.SetStatusMessage(phrase[1:])
		}
	}
	for {
		if line, rest, _ = bytes.Cut(rest, []byte("\r\n")); len(line) == 0 {
			return length
		}
		f, ok := http1.ParseField(line)
		if !ok {
			continue
		}
		switch f.Kind {
		case http1.KindContentLength:
			n, _ := http1.ParseLength(f.Value)
			length = int(n)
		case http1.KindTransferEncoding, http1.KindConnection:
		case http1.KindTrailer:
			_ = resp.Header.AddTrailerBytes(f.Value)
		default:
			resp.Header.AddBytesKV(f.Name, f.Value)
		}
	}
}

// responseBody is the body of a response as fasthttp reads it.
type responseBody struct {
	x    *plain.Exchange
	g    *guest
	data []byte
	over error // how it has ended
}

// Read reads data. It ends with io.EOF only if the body is whole.
func (b *responseBody) Read(p []byte) (int, error) {
	for len(b.data) == 0 {
		if b.over != nil {
			return 0, b.over
		}
		if b.data, b.over = b.x.Read(); b.over != nil {
			b.data = nil
			b.g.setTrailer(b.x)
		}
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// Close ends the exchange.
func (b *responseBody) Close() error { return b.CloseWithError(nil) }

// CloseWithError is Close for a body that could not be written.
func (b *responseBody) CloseWithError(err error) error {
	if b.x == nil {
		return nil
	}
	if err != nil && (b.over == nil || b.over == io.EOF) {
		b.x.ClientFailed(gate.ClientAbort, err)
	}
	b.x.End()
	b.x = nil
	b.g.session.Close()
	return nil
}
