package loop

// mostKept is how much of a body that streams is kept, framing included, until its
// backend has answered, if that may say that it did nothing for the request
// (REFUSED_STREAM, GOAWAY): then it is sent elsewhere.
const mostKept = 32 << 10

// keepBody begins to keep what goes out of a body, if its backend speaks HTTP/2.
func (x *exchange) keepBody() {
	if u := &x.upload; x.up.link != nil && !x.Whole() && x.phase < responding && len(u.first) <= mostKept {
		u.keeps = true
		x.KeepsBody()
	}
}

// keep notes that out, a part of the body, goes out, and keeps it, or no part any
// more.
func (x *exchange) keep(out []byte) {
	u := &x.upload
	if u.keeps && len(out) > 0 && len(u.first)+len(out) <= mostKept && x.phase < responding {
		u.first = append(u.first, out...)
		x.Wrote()
		return
	}
	u.first, u.keeps = nil, false
	x.WroteBody()
}
