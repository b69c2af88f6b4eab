//go:build linux

package main

import (
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/listen"
)

// forward connects client with the backend at addr until both have ended.
func forward(client *net.TCPConn, addr string) {
	defer client.Close()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	defer c.Close()
	server, done := c.(*net.TCPConn), make(chan struct{})
	pass := func(dst, src *net.TCPConn) {
		if _, err := io.Copy(dst, src); err != nil { // a break is passed on as one
			_, _ = src.SetLinger(0), dst.SetLinger(0)
			_, _ = src.SetDeadline(time.Unix(1, 0)), dst.SetDeadline(time.Unix(1, 0))
			return
		}
		_ = dst.CloseWrite()
	}
	go func() {
		defer close(done)
		pass(server, client)
	}()
	pass(client, server)
	<-done
}

// door is an address in front of a backend that opens and shuts. Whoever is
// inside stays, and whoever waits at the door is let in before it shuts.
type door struct {
	t    *testing.T
	addr string // which nobody else may get while it is shut
	to   string
	ln   *listen.Listener
	wg   sync.WaitGroup
}

func (d *door) open() {
	d.t.Helper()
	ln, err := listen.Listen(listen.Config{Kind: "l4", Name: "door", Address: d.addr, Logger: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()})
	if err != nil {
		d.t.Fatal(err)
	}
	d.ln = ln
	d.wg.Go(func() {
		for {
			c, err := ln.AcceptConn()
			if err != nil {
				return
			}
			d.wg.Go(func() {
				defer c.Close()
				forward(c.TCPConn, d.to)
			})
		}
	})
}

// shut takes some 0.2 s, in which nobody gets an answer who comes new; then
// they are refused.
func (d *door) shut() { d.ln.Drain() }

// tunnel is an address in front of a backend that can be cut off: then nothing
// comes through, and new connections get no answer but for the one or two that
// the kernel takes.
type tunnel struct {
	addr string
	ln   *net.TCPListener

	mu   sync.Mutex
	open chan struct{} // closed while it is
}

func startTunnel(t *testing.T, to string) *tunnel {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &tunnel{addr: ln.Addr().String(), ln: ln.(*net.TCPListener), open: make(chan struct{})}
	close(x.open)
	go func() {
		for {
			c, err := x.ln.AcceptTCP()
			if err != nil {
				return
			}
			x.wait()
			go x.carry(c, to)
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		_ = x.cut(false)
	})
	return x
}

// carry carries both ways until both directions have ended.
func (x *tunnel) carry(client *net.TCPConn, to string) {
	defer client.Close()
	backend, err := net.Dial("tcp", to)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	defer backend.Close()
	var wg sync.WaitGroup
	carry := func(dst, src net.Conn) {
		for buf := make([]byte, 4096); ; {
			n, err := src.Read(buf)
			x.wait()
			if _, werr := dst.Write(buf[:n]); err != nil || werr != nil {
				break
			}
		}
		_ = dst.(*net.TCPConn).CloseWrite()
	}
	wg.Go(func() { carry(backend, client) })
	carry(client, backend)
	wg.Wait()
}

// wait waits until it is open.
func (x *tunnel) wait() {
	x.mu.Lock()
	open := x.open
	x.mu.Unlock()
	<-open
}

// cut cuts it off, or opens it again.
func (x *tunnel) cut(off bool) error {
	x.mu.Lock()
	queue := 128
	if off {
		x.open, queue = make(chan struct{}), 0
	} else {
		select {
		case <-x.open:
		default:
			close(x.open)
		}
	}
	x.mu.Unlock()
	rc, err := x.ln.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := rc.Control(func(fd uintptr) { set = syscall.Listen(int(fd), queue) }); err != nil {
		return err
	}
	return set
}
