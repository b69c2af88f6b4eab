package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// smallRequest asks for the small answer.
const smallRequest = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"

// generator sends requests at a fixed rate over a number of connections,
// whether or not answers come. The time of a request counts from when it was
// to be sent: a stall counts for every request that it holds up, which a
// generator that waits for answers would not even send (coordinated omission).
//
// It is one thread that waits in epoll, woken for sends by a timer descriptor:
// Go's own timers may be a millisecond late, which is more than is measured.
type generator struct {
	addr   string // IP:port
	rate   int    // requests a second
	conns  int
	time   time.Duration
	warmup time.Duration // at the start; its requests are not counted in latencies
}

// generated is the result of a generator.
type generated struct {
	sent     int64                   // requests, all of them answered
	elapsed  time.Duration           // until the last answer
	latency  *hdrhistogram.Histogram // nanoseconds
	lateness *hdrhistogram.Histogram // of sends that nothing but the generator held up
}

// drainTime is how long answers may take after the last request was due.
const drainTime = 5 * time.Second

// wire is a connection of a generator.
type wire struct {
	fd      int
	busy    bool
	current int64 // the request in flight
	backlog int64 // requests that are due and wait for it
	buf     []byte
	got     int
}

// run blocks until every request is answered. The first that fails ends it.
func (g generator) run(ctx context.Context) (generated, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &genRun{generator: g, request: []byte(smallRequest), epoll: -1, timer: -1}
	r.latency = hdrhistogram.New(1000, int64(time.Minute), 3)
	r.lateness = hdrhistogram.New(1000, int64(time.Minute), 3)
	defer r.close()
	if err := r.open(); err != nil {
		return generated{}, err
	}
	if err := r.loop(ctx); err != nil {
		return generated{}, err
	}
	return r.generated, nil
}

type genRun struct {
	generator
	generated
	request []byte
	epoll   int
	timer   int
	wires   []wire
	start   time.Time
	total   int64 // requests to send
	next    int64 // the first that is not due yet
}

// timerIndex is what epoll says for the timer instead of a wire's index.
const timerIndex = -1

func (r *genRun) open() error {
	target, err := netip.ParseAddrPort(r.addr)
	if err != nil {
		return fmt.Errorf("cannot use address %q: %w", r.addr, err)
	}
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("cannot create an epoll descriptor: %w", err)
	}
	if r.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("cannot create a timer: %w", err)
	}
	if err := r.watch(r.timer, timerIndex); err != nil {
		return err
	}
	r.wires = make([]wire, 0, r.conns)
	for i := range r.conns {
		fd, err := dialRaw(target)
		if err != nil {
			return err
		}
		r.wires = append(r.wires, wire{fd: fd, buf: make([]byte, 8<<10)})
		if err := r.watch(fd, int32(i)); err != nil {
			return err
		}
	}
	r.total = int64(r.rate) * int64(r.time) / int64(time.Second)
	return nil
}

// dialRaw returns a connected, non-blocking socket.
func dialRaw(target netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot create a socket: %w", err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: target.Addr().As4(), Port: int(target.Port())})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("cannot connect to %s: %w", target, err)
	}
	return fd, nil
}

func (r *genRun) watch(fd int, index int32) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: index}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("cannot watch a descriptor: %w", err)
	}
	return nil
}

func (r *genRun) close() {
	for i := range r.wires {
		_ = unix.Close(r.wires[i].fd)
	}
	for _, fd := range []int{r.timer, r.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// due returns when request i is to be sent, after the start.
func (r *genRun) due(i int64) time.Duration {
	return time.Duration(i * int64(time.Second) / int64(r.rate))
}

func (r *genRun) loop(ctx context.Context) error {
	events := make([]unix.EpollEvent, 256)
	var drained [8]byte
	r.start = time.Now()
	answered := int64(0)
	for answered < r.total {
		if err := r.sendDue(); err != nil {
			return err
		}
		now := time.Since(r.start)
		if now > r.time+drainTime {
			return fmt.Errorf("%d of %d requests were not answered %s after the last was due", r.total-answered, r.total, drainTime)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.next < r.total {
			wait := unix.NsecToTimespec(max(1, int64(r.due(r.next)-now)))
			if err := unix.TimerfdSettime(r.timer, 0, &unix.ItimerSpec{Value: wait}, nil); err != nil {
				return fmt.Errorf("cannot set a timer: %w", err)
			}
		}
		n, err := unix.EpollWait(r.epoll, events, 100)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("cannot wait for events: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd == timerIndex {
				_, _ = unix.Read(r.timer, drained[:]) // it may have been set again
				continue
			}
			done, err := r.receive(&r.wires[e.Fd])
			if err != nil {
				return err
			}
			answered += done
		}
	}
	r.sent = r.total
	r.elapsed = time.Since(r.start)
	return nil
}

// sendDue sends every request that is due; those whose connection still waits
// for an answer are kept for later.
func (r *genRun) sendDue() error {
	now := time.Since(r.start)
	for r.next < r.total && r.due(r.next) <= now {
		w := &r.wires[r.next%int64(len(r.wires))]
		if w.busy {
			w.backlog++
		} else {
			_ = r.lateness.RecordValue(int64(now - r.due(r.next))) // longer than a minute cannot be
			if err := r.send(w, r.next); err != nil {
				return err
			}
		}
		r.next++
	}
	return nil
}

func (r *genRun) send(w *wire, i int64) error {
	w.busy, w.current, w.got = true, i, 0
	n, err := unix.Write(w.fd, r.request)
	if err != nil || n != len(r.request) {
		return fmt.Errorf("cannot send request %d: %d bytes written: %w", i, n, err)
	}
	return nil
}

// receive reads what has come and returns how many requests that has answered.
func (r *genRun) receive(w *wire) (int64, error) {
	n, err := unix.Read(w.fd, w.buf[w.got:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("cannot read the answer to request %d: %w", w.current, err)
	case n <= 0:
		return 0, fmt.Errorf("the proxy closed a connection that had request %d", w.current)
	}
	w.got += n
	size, err := parseResponse(w.buf[:w.got])
	if err != nil {
		return 0, err
	}
	if size == 0 {
		if w.got == len(w.buf) {
			return 0, fmt.Errorf("cannot read the answer to request %d: it is longer than %d bytes", w.current, w.got)
		}
		return 0, nil
	}
	if !w.busy || size != w.got {
		return 0, fmt.Errorf("bytes came that no request asked for, near request %d", w.current)
	}
	if due := r.due(w.current); due >= r.warmup {
		_ = r.latency.RecordValue(min(int64(time.Since(r.start)-due), int64(time.Minute)))
	}
	w.busy = false
	if w.backlog > 0 {
		w.backlog--
		return 1, r.send(w, w.current+int64(len(r.wires)))
	}
	return 1, nil
}
