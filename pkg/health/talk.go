package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// step is one line of a conversation: something that is said, or something
// that the other side must say.
type step struct {
	expect bool
	text   string
}

// TalkCheck passes if a backend answers as it is expected to what it is told,
// step by step: a PING by +PONG, a connection by a banner.
type TalkCheck struct {
	steps []step
	via   Via
}

// Probe connects, holds the conversation, and ends the connection.
func (t *TalkCheck) Probe(ctx context.Context, addr string) (Result, error) {
	c, err := t.via.dial(ctx, "tcp", addr)
	if err != nil {
		return Result{}, err
	}
	defer func() { hangUp(c) }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if t.via.TLS != nil {
		cfg := t.via.TLS
		if cfg.ServerName == "" {
			cfg = cfg.Clone()
			cfg.ServerName, _, _ = net.SplitHostPort(addr)
		}
		tc := tls.Client(c, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			return Result{}, err
		}
		c = tc
	}
	r := Result{Tested: Connect}
	var come []byte // and was not expected yet
	for _, s := range t.steps {
		if !s.expect {
			if _, err := io.WriteString(c, s.text); err != nil {
				return Result{}, told(ctx, err)
			}
			continue
		}
		if come, err = await(c, come, s.text); err != nil {
			return Result{}, told(ctx, err)
		}
		r.Tested = Answer
	}
	return r, nil
}

// await reads from c until text has come and returns what follows it. come has
// come already.
func await(c io.Reader, come []byte, text string) (rest []byte, err error) {
	for buf := make([]byte, 4<<10); ; {
		if i := bytes.Index(come, []byte(text)); i >= 0 {
			return come[i+len(text):], nil
		}
		if len(come) > maxAnswer {
			return nil, fmt.Errorf("no %q in %d bytes, which begin with %.40q", text, len(come), come)
		}
		n, err := c.Read(buf)
		come = append(come, buf[:n]...)
		if n == 0 && err != nil {
			if len(come) > 0 {
				return nil, fmt.Errorf("%w; no %q but %.40q", err, text, come)
			}
			return nil, fmt.Errorf("%w; no %q", err, text)
		}
	}
}

// told returns err, or that the time was over if that is its cause.
func told(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

func (t *TalkCheck) String() string { return "tcp check" }

// onPort makes a check at another port of the backend's host.
type onPort struct {
	Check
	port string
}

// Probe makes the check there.
func (p onPort) Probe(ctx context.Context, addr string) (Result, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return Result{}, fmt.Errorf("address %q is not HOST:PORT: %w", addr, err)
	}
	return p.Check.Probe(ctx, net.JoinHostPort(host, p.port))
}
