package balance

import "sluice/pkg/backend"

// maglevSize is the number of entries of a table, a prime, as in the paper:
// shares are exact to 1 % up to some 600 backends. It is the same for small
// pools, because another size moves almost every key. A table takes 128 KiB.
const maglevSize = 65537

// noOwner marks an entry that nobody took yet.
const noOwner = maxHashed

// maglev is Eisenbud et al., "Maglev: A Fast and Reliable Software Network
// Load Balancer", 2016, section 3.4: in turns, each backend takes the next
// free entry in an order of its own, until none is left. Shares are far more
// even than a ring's; in exchange, when a backend goes, a few keys of others
// move too.
type maglev struct{}

type maglevPicker struct{ bounded }

func (maglev) Plan(s *backend.Snapshot) Picker {
	p := &maglevPicker{newBounded(s)}
	if len(p.backends) > 0 {
		p.owners = maglevTable(p.backends, p.weights)
	}
	return p
}

// maglevTable gives a backend a turn a round if its weight is the mean, or up
// to half as many, and the others accordingly; the paper leaves weights open.
func maglevTable(backends []*backend.Backend, weights []int) []uint16 {
	type order struct {
		next, skip uint32
		turns      int64
	}
	orders := make([]order, len(backends))
	for i, b := range backends {
		x := HashString(b.Addr())
		orders[i].next = uint32(mix(x+golden) % maglevSize)
		orders[i].skip = uint32(mix(x^golden)%(maglevSize-1)) + 1
	}
	table := make([]uint16, maglevSize)
	for i := range table {
		table[i] = noOwner
	}
	// A weight's turns up to a round are round*weight*of/per, rounded up, so
	// that the lightest gets an entry in the first.
	u := newUnit(weights, 1, int64(len(weights)))
	for left, round := maglevSize, int64(1); ; round++ {
		for i := range orders {
			o := &orders[i]
			due := (round*int64(weights[i])*u.of + u.per - 1) / u.per
			for ; o.turns < due; o.turns++ {
				for table[o.next] != noOwner {
					if o.next += o.skip; o.next >= maglevSize {
						o.next -= maglevSize
					}
				}
				table[o.next] = uint16(i)
				if left--; left == 0 {
					return table
				}
			}
		}
	}
}

func (p *maglevPicker) Pick(req Request) *backend.Backend {
	switch {
	case len(p.backends) == 0:
		return nil
	case !req.HasKey:
		return p.keyless.Pick(req)
	}
	return p.walk(int(req.Key%maglevSize), req.Key, req.Tried)
}
