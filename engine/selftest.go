package engine

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/engine/desired"
	"sluice/pkg/admin"
	"sluice/pkg/backend"
)

const (
	// selftestTime bounds each thing that a self-test tries.
	selftestTime = 3 * time.Second
	// selftestStay is how long a TCP connection through a listener must stay
	// open.
	selftestStay = 300 * time.Millisecond
	// selftestAtOnce is how many things are tried at once, and selftestMembers
	// how many of a service's members.
	selftestAtOnce  = 16
	selftestMembers = 100
	// selftestLag is how long an event loop may take until its next turn, and
	// selftestDrift how far the system's clock may have been moved since the
	// start.
	selftestLag   = time.Second
	selftestDrift = 5 * time.Second
)

// Selftest tries everything out, as a client would.
func (a asked) Selftest(ctx context.Context) admin.Selftest {
	var mu sync.Mutex
	var t admin.Selftest
	var wg sync.WaitGroup
	slots := make(chan struct{}, selftestAtOnce)
	try := func(name string, f func(context.Context) (string, error)) {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, selftestTime)
			defer cancel()
			begin := time.Now()
			detail, err := f(ctx)
			r := admin.TestResult{Name: name, OK: err == nil, Detail: detail, Elapsed: few(time.Since(begin).Seconds())}
			if err != nil {
				r.Detail = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			t.Checks = append(t.Checks, r)
		})
	}
	a.tryListeners(try)
	for _, s := range a.e.services.wanted() {
		try("backends of "+s.name, s.reach)
		try("members of "+s.name, func(context.Context) (string, error) { return s.age() })
	}
	try("clock", func(context.Context) (string, error) { return a.e.clock() })
	try("descriptors", func(context.Context) (string, error) { return descriptorsUsed() })
	try("event loops", a.e.lag)
	if a.e.operators.book != nil {
		try("changes", func(context.Context) (string, error) {
			if all := a.e.operators.troubles(); len(all) > 0 {
				return "", errors.New(strings.Join(all, "; "))
			}
			return "kept in " + a.e.operators.book.Kept(), nil
		})
	}
	wg.Wait()
	slices.SortFunc(t.Checks, func(x, y admin.TestResult) int { return strings.Compare(x.Name, y.Name) })
	var failed []string
	for _, r := range t.Checks {
		if !r.OK {
			failed = append(failed, r.Name)
		}
	}
	t.OK, t.Verdict = len(failed) == 0, fmt.Sprintf("all %d are well", len(t.Checks))
	if !t.OK {
		t.Verdict = fmt.Sprintf("%d of %d are not well: %s", len(failed), len(t.Checks), named(failed))
	}
	return t
}

// tryListeners has a request made through each HTTP listener for each route, and
// a connection through each TCP listener for each name.
func (a asked) tryListeners(try func(string, func(context.Context) (string, error))) {
	for _, f := range a.e.fronts.list() {
		at := reachable(f)
		if f.kind == "l4" {
			for i, p := range f.wants.Parts {
				name := strings.TrimPrefix(p.SNI, "*.")
				try(fmt.Sprintf("l4 listener %s to %s", f.addr(), f.leadsTo[i].name), func(ctx context.Context) (string, error) {
					return f.tryTCP(ctx, at, name)
				})
			}
			continue
		}
		for _, r := range a.e.State().Routes {
			try(fmt.Sprintf("l7 listener %s, route %s", f.addr(), r.Key()), func(ctx context.Context) (string, error) { return f.tryHTTP(ctx, at, r) })
		}
	}
}

// reachable returns where this machine reaches a listener.
func reachable(f *front) string {
	at := f.addrPort()
	if at.Addr().IsUnspecified() {
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		at = netip.AddrPortFrom(loopback, at.Port())
	}
	return at.String()
}

// dial connects to a listener as a client does.
func (f *front) dial(ctx context.Context, at, name string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline) // a TCP connection has one
	}
	peer, _ := netip.ParseAddrPort(c.LocalAddr().String())
	if f.listener.ExpectsHeader(peer.Addr()) {
		if _, err := c.Write([]byte("PROXY UNKNOWN\r\n")); err != nil {
			c.Close()
			return nil, err
		}
	}
	if f.shown == nil {
		return c, nil
	}
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: cmp.Or(name, "localhost")}) // whether it is ours is known
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return t, nil
}

// tryTCP makes a connection and sees whether it stays.
func (f *front) tryTCP(ctx context.Context, at, name string) (string, error) {
	if name != "" && f.shown == nil {
		return "not tried: it is for clients that speak TLS with the backend", nil
	}
	c, err := f.dial(ctx, at, name)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if f.shown != nil && f.shown.tls.ClientAuth == tls.RequireAnyClientCert {
		return "it asks for a client's certificate, of which there is none here", nil
	}
	_ = c.SetReadDeadline(time.Now().Add(selftestStay)) // a TCP connection has one
	var b [1]byte
	n, err := c.Read(b[:])
	var slow net.Error
	switch {
	case n > 0:
		return "the backend speaks", nil
	case errors.As(err, &slow) && slow.Timeout():
		return "a connection stays open", nil
	}
	return "", fmt.Errorf("a connection ends at once: %w", err)
}

// tryHTTP makes a request by OPTIONS, which asks for nothing to be done, and sees
// who answers.
func (f *front) tryHTTP(ctx context.Context, at string, r desired.Route) (string, error) {
	host := cmp.Or(strings.Replace(r.Host, "*.", "selftest.", 1), "localhost")
	c, err := f.dial(ctx, at, host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if f.shown != nil && f.shown.tls.ClientAuth == tls.RequireAnyClientCert {
		return "it asks for a client's certificate, of which there is none here", nil
	}
	req, err := http.NewRequestWithContext(ctx, selftestMethod(r), "http://"+host+r.Path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "sluice-selftest")
	for _, h := range r.Headers {
		req.Header.Set(h.Name, cmp.Or(h.Value, "selftest"))
	}
	req.Close = true
	if err := req.Write(c); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return "", fmt.Errorf("no answer: %w", err)
	}
	resp.Body.Close()
	reason := resp.Header.Get("X-Sluice-Reason")
	if resp.StatusCode >= 500 && reason != "" {
		return "", fmt.Errorf("%s: %s", resp.Status, reason)
	}
	if reason != "" {
		return fmt.Sprintf("answered by sluice itself: %s, %s", resp.Status, reason), nil
	}
	return "answered by the backend: " + resp.Status, nil
}

// selftestMethod returns a method of the route that asks for nothing to be done,
// or else OPTIONS, which another route may answer then.
func selftestMethod(r desired.Route) string {
	for _, m := range []string{http.MethodOptions, http.MethodHead, http.MethodGet} {
		if len(r.Methods) == 0 || slices.ContainsFunc(r.Methods, func(x string) bool { return strings.EqualFold(x, m) }) {
			return m
		}
	}
	return http.MethodOptions
}

// reach connects to the members that get new connections.
func (s *service) reach(ctx context.Context) (string, error) {
	members := s.pool.Snapshot().Eligible
	if len(members) == 0 {
		return "", errors.New("nobody gets new connections")
	}
	if len(members) > selftestMembers {
		members = members[:selftestMembers]
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed []string
	for _, b := range members {
		wg.Go(func() {
			if err := connect(ctx, b); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, fmt.Sprintf("%s: %v", b.Addr(), err))
			}
		})
	}
	wg.Wait()
	if len(failed) > 0 {
		return "", fmt.Errorf("%d of %d cannot be reached: %s", len(failed), len(members), named(failed))
	}
	return fmt.Sprintf("%d of %d can be reached", len(members), len(members)), nil
}

func connect(ctx context.Context, b *backend.Backend) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", b.Addr())
	if err != nil {
		return err
	}
	return c.Close()
}

// age says how old what is known of the members is.
func (s *service) age() (string, error) {
	if !s.isKnown() {
		return "", errors.New("they are not known yet")
	}
	var all []string
	for _, r := range s.reports() {
		if r.Trouble != "" {
			return "", fmt.Errorf("%s: %s, since %s", r.Source, r.Trouble, r.Since.UTC().Format(time.RFC3339))
		}
		all = append(all, r.Source)
	}
	if len(all) == 0 {
		return "they are fixed", nil
	}
	return "up to date by " + strings.Join(all, ", "), nil
}

// clock says how far the system's clock was moved.
func (e *Engine) clock() (string, error) {
	now := time.Now()
	drift := now.Round(0).Sub(e.began.Round(0)) - now.Sub(e.began)
	if drift.Abs() > selftestDrift {
		return "", fmt.Errorf("the system's clock was moved by %v since the start", drift)
	}
	return fmt.Sprintf("moved by %v since the start", drift.Round(time.Millisecond)), nil
}

// descriptorsUsed says how many open files there are.
func descriptorsUsed() (string, error) {
	limit := OpenFiles()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil || limit <= 0 {
		return "not known on this system", nil
	}
	if used := len(open); used > limit*9/10 {
		return "", fmt.Errorf("%d of %d are open", used, limit)
	}
	return fmt.Sprintf("%d of %d are open", len(open), limit), nil
}

// lag says how long the event loops take until their next turn.
func (e *Engine) lag(ctx context.Context) (string, error) {
	g := e.fronts.loops.running()
	if g == nil {
		return "there are none", nil
	}
	var worst time.Duration
	for _, l := range g.Loops() {
		begin := time.Now()
		turned := make(chan struct{})
		if !l.Post(func() { close(turned) }) {
			return "", errors.New("a loop has ended")
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return "", errors.New("a loop does not turn")
		}
		worst = max(worst, time.Since(begin))
	}
	if worst > selftestLag {
		return "", fmt.Errorf("the next turn took %v", worst)
	}
	return fmt.Sprintf("the next turn took %v at most", worst.Round(time.Microsecond)), nil
}
