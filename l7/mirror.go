package l7

import (
	"bytes"
	"math/rand/v2"
	"time"

	"sluice/l7/http1"
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

const (
	defaultMirrorBody = 64 << 10
	// mirrorsAtOnce is how many copies a server has under way at most, the
	// bodies that are being gathered included.
	mirrorsAtOnce = 128
	// mirrorTime is how long a copy may take, from its body's end on.
	mirrorTime = time.Minute
)

// mirror is a Mirror of a route. Its zero value copies nothing.
type mirror struct {
	service *service
	counts  *mirrorCounts
	share   float64 // 0 to 1
	maxBody int64
}

// wants reports whether a request whose body is length long, as head.length says
// it, may be copied, and whether this one is to be, by chance: from 0 to 1.
func (m *mirror) wants(length int64, upgrade bool, chance float64) (may, is bool) {
	is = m.service != nil && chance < m.share
	return !upgrade && length <= m.maxBody, is
}

// copying is a copy of a request whose body is still to come. It holds one of its
// server's places for copies.
type copying struct {
	mirror *mirror
	body   []byte
}

// mirrorRequest begins to copy a request that was admitted, if it is to be.
func (x *exchange) mirrorRequest() {
	m := &x.route.mirror
	if m.service == nil {
		return
	}
	switch may, is := m.wants(x.req.Length, x.req.Upgrade != nil, rand.Float64()); {
	case !is:
		return
	case !may:
		m.counts.skipped.Inc()
		return
	case !x.sh.s.mirrors.enter():
		m.counts.dropped.Inc()
		return
	}
	x.copying = &copying{mirror: m}
	x.copyBody(x.rawFirst(), x.inDone)
}

// rawFirst returns what there is of the body, without our framing.
func (x *exchange) rawFirst() []byte {
	if x.req.Length != http1.Chunked || x.data == 0 {
		return x.first[:x.data]
	}
	from := bytes.IndexByte(x.first, '\n') + 1
	return x.first[from : from+x.data]
}

// copyBody adds data to the copy of the request, and sends that if the body is
// done.
func (x *exchange) copyBody(data []byte, done bool) {
	c := x.copying
	if c == nil {
		return
	}
	if int64(len(c.body)+len(data)) > c.mirror.maxBody {
		c.mirror.counts.skipped.Inc()
		x.endCopy()
		return
	}
	c.body = append(c.body, data...)
	if done {
		x.sendCopy()
	}
}

// endCopy gives a copy up.
func (x *exchange) endCopy() {
	if x.copying != nil {
		x.copying = nil
		x.sh.s.mirrors.leave()
	}
}

// sendCopy hands the copy to whoever sends it.
func (x *exchange) sendCopy() {
	c, svc := x.copying, x.copying.mirror.service
	mirrors := x.sh.s.mirrors
	b := svc.balancer.Pick(balance.Request{Key: x.key, HasKey: true})
	if b == nil {
		c.mirror.counts.dropped.Inc()
		x.endCopy()
		return
	}
	length := int64(len(c.body))
	if x.req.Length == http1.NoLength {
		length = http1.NoLength
	}
	x.copying = nil // its place goes with it
	mirrors.send(&mirrored{
		counts: c.mirror.counts, b: b, method: string(x.req.Method), connect: x.waits.connect,
		message: append(x.headFor(svc, b, length), c.body...),
	})
}

// headFor returns the head of the request as it would go to b of svc, with a body
// of that length.
func (x *exchange) headFor(svc *service, b *backend.Backend, length int64) []byte {
	ownSvc, ownB, ownLength := x.svc, x.backend, x.req.Length
	x.svc, x.backend, x.req.Length = svc, b, length
	head := x.editRequest(appendRequest(make([]byte, 0, 2*len(x.raw)+512), &x.req, &x.from, x.target(), b.Addr()))
	x.svc, x.backend, x.req.Length = ownSvc, ownB, ownLength
	return head
}

// spliceable returns how many bytes of the request's body may be moved unseen.
func (x *exchange) spliceable() int64 {
	if x.copying != nil {
		return 0
	}
	return x.body.Raw()
}
