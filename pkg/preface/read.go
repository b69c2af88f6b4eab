package preface

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// Read awaits a preface of c, of which read has come already, and returns all
// that has come; see the package. It ends with ctx, by that one's error. The read
// deadline of c is its own meanwhile, and afterwards there is none.
func Read(ctx context.Context, c net.Conn, read []byte, limits Limits, parse Parser) (b []byte, err error) {
	begun := time.Now()
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			err = context.Cause(ctx)
			return
		}
		_ = c.SetReadDeadline(time.Time{})
	}()
	for buf := []byte(nil); ; {
		if len(read) > 0 {
			if content, err := parse(read); content || err != nil {
				return read, err
			}
		}
		if buf == nil { // the first turn
			buf = make([]byte, 4<<10)
			limit := limits.first()
			if len(read) > 0 {
				limit = limits.Whole
			}
			_ = c.SetReadDeadline(begun.Add(limit))
		}
		if ctx.Err() != nil {
			return read, context.Cause(ctx) // whose deadline may have been overwritten
		}
		n, err := c.Read(buf)
		if n > 0 && len(read) == 0 {
			_ = c.SetReadDeadline(begun.Add(limits.Whole))
		}
		read = append(read, buf[:n]...)
		if err != nil && n == 0 {
			return read, failed(read, err)
		}
	}
}

// failed returns what it means that a read failed by err after what has come.
func failed(read []byte, err error) error {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return os.ErrDeadlineExceeded
	}
	return ended(read, err)
}
