package balance

import (
	"math/bits"

	"sluice/pkg/backend"
)

const (
	// ringPoints is how many points of the ring a backend has, by weight and
	// on average, at most; half as many at least. With p points the share of a
	// backend is off by 1/sqrt(p) or so: 6 to 9 %.
	ringPoints = 256
	// maxRing bounds the points of a ring, for some 500 backends and more.
	maxRing = 1 << 17
)

// consistentHash is ip_hash and consistent_hash: a ring as in Karger et al.,
// "Consistent Hashing and Random Trees", 1997, with several points for each
// backend as in libketama. The points depend on the backend's address, and their
// number on its weight.
// When a backend goes, the keys between its points and those before them go
// to their next points; all others stay.
type consistentHash struct{}

type ringPicker struct {
	bounded
	points []uint64 // ascending; owners tells whose they are
	// starts[k] is the first point whose upper bits are k or more, so that a
	// key finds its place without a search.
	starts []uint32
	shift  uint // a point's upper bits are point>>shift
}

func (consistentHash) Plan(s *backend.Snapshot) Picker {
	p := &ringPicker{bounded: newBounded(s)}
	n := int64(len(p.backends))
	if n == 0 {
		return p
	}
	u := newUnit(p.weights, ringPoints, min(n*ringPoints, maxRing))
	size := 0
	for _, w := range p.weights {
		size += u.entries(w)
	}
	p.shift = uint(64 - bits.Len(uint(size-1)|1))
	p.points, p.owners = make([]uint64, size), make([]uint16, size)
	p.starts = make([]uint32, 1<<(64-p.shift))
	// A counting sort by the upper bits puts each point within a place or two
	// of its own; an insertion sort does the rest.
	p.each(u, func(_ uint16, point uint64) { p.starts[point>>p.shift]++ })
	sum := uint32(0)
	for k, count := range p.starts {
		sum += count
		p.starts[k] = sum
	}
	p.each(u, func(owner uint16, point uint64) {
		k := point >> p.shift
		p.starts[k]--
		at := p.starts[k]
		p.points[at], p.owners[at] = point, owner
	})
	for i := 1; i < size; i++ {
		for j := i; j > 0 && p.points[j] < p.points[j-1]; j-- {
			p.points[j], p.points[j-1] = p.points[j-1], p.points[j]
			p.owners[j], p.owners[j-1] = p.owners[j-1], p.owners[j]
		}
	}
	return p
}

// each calls f with every point.
func (p *ringPicker) each(u unit, f func(owner uint16, point uint64)) {
	for i, b := range p.backends {
		x := HashString(b.Addr())
		for range u.entries(p.weights[i]) {
			x += golden
			f(uint16(i), mix(x))
		}
	}
}

// Pick finds the key's place in constant time: there is a point or so for
// each value of its upper bits.
func (p *ringPicker) Pick(req Request) *backend.Backend {
	switch {
	case len(p.backends) == 0:
		return nil
	case !req.HasKey:
		return p.keyless.Pick(req)
	}
	at := int(p.starts[req.Key>>p.shift])
	for at < len(p.points) && p.points[at] < req.Key {
		at++
	}
	if at == len(p.points) {
		at = 0
	}
	return p.walk(at, req.Key, req.Tried)
}
