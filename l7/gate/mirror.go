package gate

import (
	"crypto/tls"
	"math/rand/v2"

	"sluice/l7/http1"
	"sluice/l7/mirror"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
)

// Mirror sends a copy of a part of a route's requests to another service. Nobody
// waits for the answers, which are thrown away; what cannot be sent at once is
// not sent at all.
type Mirror struct {
	// Balancer, RetryBudget and Policy are those of the other service. Of the
	// policy the edits of headers count alone. A nil Balancer means that there
	// is none.
	Balancer    *balance.Balancer
	RetryBudget *limit.Budget
	Policy      *Policy
	// Percent of the requests, 0 to 100, that are copied.
	Percent float64
	// MaxBody is how long the body of such a request may be, in bytes. 0 means
	// 64 KiB.
	MaxBody int64
}

const defaultMirrorBody = 64 << 10

// mirroring is a Mirror of a route. Its zero value copies nothing.
type mirroring struct {
	service *Service
	counts  *mirror.Counts
	share   float64 // 0 to 1
	maxBody int64
}

// copying is a copy of a request whose body is still to come. It holds one of its
// server's places for copies.
type copying struct {
	mirror *mirroring
	body   []byte
}

// beginCopy begins to copy a request that was admitted, if it is to be.
func (t *Ticket) beginCopy() {
	m := &t.route.mirror
	if m.service == nil {
		return
	}
	switch {
	case rand.Float64() >= m.share:
		return
	case t.Req.Upgrade != nil || t.Req.Length > m.maxBody:
		m.counts.Skipped.Inc()
		return
	case !t.g.copies.Enter():
		m.counts.Dropped.Inc()
		return
	}
	t.copying = &copying{mirror: m}
}

// Copying reports whether the request's body is to be told to Copy, from its
// beginning on. The driver must see all of it then.
func (t *Ticket) Copying() bool { return t.copying != nil }

// Copy adds data to the copy of the request, without framing, and sends that once
// the request is whole. It must be told so at least once after Admit.
func (t *Ticket) Copy(data []byte) {
	c := t.copying
	if c == nil {
		return
	}
	if int64(len(c.body)+len(data)) > c.mirror.maxBody {
		c.mirror.counts.Skipped.Inc()
		t.endCopy()
		return
	}
	c.body = append(c.body, data...)
	if t.whole {
		t.sendCopy()
	}
}

// endCopy gives a copy up.
func (t *Ticket) endCopy() {
	if t.copying != nil {
		t.copying = nil
		t.g.copies.Leave()
	}
}

// sendCopy hands the copy to whoever sends it.
func (t *Ticket) sendCopy() {
	c, svc := t.copying, t.copying.mirror.service
	b := svc.balancer.Pick(balance.Request{Key: t.key, HasKey: true})
	if b == nil {
		c.mirror.counts.Dropped.Inc()
		t.endCopy()
		return
	}
	length := int64(len(c.body))
	if t.Req.Length == http1.NoLength {
		length = http1.NoLength
	}
	var secure *tls.Config
	switch b.Target().Protocol {
	case backend.HTTPS:
		secure = svc.TLSFor(b, "http/1.1")
	case backend.H2:
		secure = svc.TLSFor(b, "h2")
	}
	t.copying = nil // its place goes with it
	t.g.copies.Send(&mirror.Copy{
		Counts: c.mirror.counts, Backend: b, Method: string(t.Req.Method), Connect: t.limits.Connect, TLS: secure,
		Message: append(t.headFor(svc, b, length), c.body...),
	})
}

// headFor returns the head of the request as it would go to b of svc, with a body
// of that length.
func (t *Ticket) headFor(svc *Service, b *backend.Backend, length int64) []byte {
	ownSvc, ownRules, ownB, ownLength := t.svc, t.admission.rules, t.attempt.backend, t.Req.Length
	t.svc, t.admission.rules, t.attempt.backend, t.Req.Length = svc, svc.rules(), b, length
	head := t.editRequest(appendRequest(make([]byte, 0, 2*len(t.Raw)+512), &t.Req, &t.from, t.target(b.Addr()), b.Addr()))
	t.svc, t.admission.rules, t.attempt.backend, t.Req.Length = ownSvc, ownRules, ownB, ownLength
	return head
}
