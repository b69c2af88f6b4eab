package gate

import (
	"bytes"

	"sluice/l7/http1"
)

// PathForm is a form in which a path is forwarded.
type PathForm uint8

// The forms. Dot segments are resolved in each of them, and a path that as it
// came is another route's is always forwarded in its normal form.
const (
	PathAuto       PathForm = iota // PathNormalized where the route has conditions or bounds who may use it, else PathRaw
	PathNormalized                 // the form by which it was routed
	PathRaw                        // as it came
)

// ambiguousPath is why a path is refused that has a reading which it must not
// have.
const ambiguousPath = "servers read the path differently: as another route's, or with a dot segment"

// maxReading is how many bytes are read at most to try the readings of a path.
const maxReading = 64 << 10

// lookup finds the route that a request has with a path, in its plain form.
type lookup struct {
	r      *router
	h      *http1.Head
	secure bool // the client uses HTTPS
}

func (l lookup) find(path []byte) *route { return l.r.match(l.h, path, l.secure) }

// unambiguous reports whether every reading of p is rt's.
func unambiguous(p *http1.Path, l lookup, rt *route) bool {
	readings := 0
	for how := http1.Ambiguity(1); how <= p.Odd; how++ {
		if how&^p.Odd == 0 {
			readings++
		}
	}
	if readings*len(p.Plain) > maxReading {
		return false
	}
	var buf [256]byte
	mem := buf[:0]
	for how := http1.Ambiguity(1); how <= p.Odd; how++ {
		if how&^p.Odd != 0 {
			continue
		}
		reading, ok := http1.AppendReading(mem[:0], p.Plain, how)
		if mem = reading; !ok || l.find(reading) != rt {
			return false
		}
		// What begins so names a host to browsers; see hidden.
		if how&http1.Backslashes != 0 && bytes.HasPrefix(p.Raw, []byte(`/\`)) && l.find(http1.BehindHost(reading)) != rt {
			return false
		}
	}
	return true
}

// hidden reports whether what parses URLs, as RFC 3986 4.2 and browsers have it,
// finds another route's path behind the first segment: of "//x/admin" it takes x
// for a host. PHP's parse_url and JavaScript's URL are such parsers.
func hidden(p *http1.Path, l lookup, rt *route) bool {
	return len(p.Raw) > 1 && p.Raw[1] == '/' && (p.Odd != 0 || l.find(http1.BehindHost(p.Plain)) != rt)
}

// choose decides in which form p, whose route is rt, is forwarded.
func choose(p *http1.Path, l lookup, rt *route, form PathForm) {
	if rt.form != PathAuto {
		form = rt.form
	}
	switch p.Forward = p.Normal; {
	case form == PathNormalized, form == PathAuto && rt.guarded(), p.Joined, bytes.Equal(p.Raw, p.Normal), l.find(p.Raw) != rt, hidden(p, l, rt):
	default:
		p.Forward = p.Raw
	}
}
