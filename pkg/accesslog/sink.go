package accesslog

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"
)

// maxWrite is about how many bytes are written at once.
const maxWrite = 64 << 10

// Format is the form of lines.
type Format uint8

// The forms: an object for each line, as slog's JSON handler writes it with
// durations as text; and what Apache's and nginx' logs are, CommonLog as of NCSA's
// server, CombinedLog with referer and user agent. For these two, and for whatever
// else they have by choice, see [Record.Fields].
const (
	JSON Format = iota
	CommonLog
	CombinedLog
)

// Sink is where lines go.
type Sink struct {
	// Out takes the lines, some together in each Write. It must not be nil.
	Out    io.Writer
	Format Format
	// Handler makes the handler that formats records, onto the writer that it is
	// given, instead of Format. Nil means none.
	Handler func(io.Writer) slog.Handler
	// Header appends what each line begins with, of a record from that time,
	// which failed or did not. Nil means nothing.
	Header func(dst []byte, at time.Time, failed bool) []byte
}

// outlet gathers a sink's lines.
type outlet struct {
	sink   Sink
	buf    bytes.Buffer
	format func(*slot)
}

func newOutlet(s Sink) *outlet {
	o := &outlet{sink: s}
	switch {
	case s.Handler != nil:
		h := s.Handler(&o.buf)
		o.format = func(s *slot) { _ = h.Handle(context.Background(), s.record()) } // writing to memory does not fail
	case s.Format == JSON:
		o.format = func(s *slot) { o.buf.Write(s.appendJSON(o.buf.AvailableBuffer())) }
	default:
		o.format = func(slot *slot) {
			o.buf.Write(slot.appendCommon(o.buf.AvailableBuffer(), s.Format == CombinedLog))
		}
	}
	return o
}

// add writes the line of what s holds, and of those before it, if it is the last
// for now or there are many.
func (o *outlet) add(s *slot, last bool) {
	if h := o.sink.Header; h != nil {
		o.buf.Write(h(o.buf.AvailableBuffer(), s.r.Time, s.r.failed()))
	}
	o.format(s)
	if last || o.buf.Len() >= maxWrite {
		_, _ = o.sink.Out.Write(o.buf.Bytes()) // there is nowhere to complain
		o.buf.Reset()
	}
}
