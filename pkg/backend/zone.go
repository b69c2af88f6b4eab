package backend

import (
	"math/rand/v2"
	"slices"
)

// Zonal is how new connections divide between the own zone and others. It
// never changes, like the snapshot that it belongs to.
type Zonal struct {
	// Zone is the own zone.
	Zone string
	// Share is the part of new connections that stays in it, above 0 and up
	// to 1.
	Share float64
	// Near and Far are the members to choose from in the own zone, and for the
	// rest, with their weights.
	Near, Far               []*Backend
	NearWeights, FarWeights []int
}

// Stays draws by lot whether a new connection stays in the own zone.
func (z *Zonal) Stays() bool { return z.Share >= 1 || rand.Float64() < z.Share }

// Equal reports whether z and other say the same; either may be nil.
func (z *Zonal) Equal(other *Zonal) bool {
	if z == nil || other == nil {
		return z == other
	}
	return z.Zone == other.Zone && z.Share == other.Share &&
		slices.Equal(z.Near, other.Near) && slices.Equal(z.NearWeights, other.NearWeights) &&
		slices.Equal(z.Far, other.Far) && slices.Equal(z.FarWeights, other.FarWeights)
}

// divide chooses how connections divide between zones, as Envoy's zone aware
// routing does: all stay while the own zone has its part of the capacity, which
// is one in as many as there are zones; if it has less, so much less stays, and
// the rest goes to the zones that have more than their part, by how much more.
// So all zones are equally loaded if each gets as many clients as the others,
// and runs a sluice of its own.
//
// Capacity is the weight of those offered; zones count that have a candidate,
// so that the clients of one whose members are all bad are expected too.
// Members without a zone are nobody's own: all that they have is for others.
// It returns nil if zones make no difference.
func divide(zone string, all, offered []*Backend, weights []int) *Zonal {
	if zone == "" {
		return nil
	}
	zones := map[string]bool{zone: true}
	for _, b := range all {
		if z := b.target.Load().Zone; z != "" && b.standing() != drained {
			zones[z] = true
		}
	}
	capacity := make(map[string]float64)
	sum := 0.0
	z := &Zonal{Zone: zone, Share: 1}
	for i, b := range offered {
		capacity[b.target.Load().Zone] += float64(weights[i])
		sum += float64(weights[i])
	}
	if capacity[zone] == 0 || capacity[zone] == sum {
		return nil
	}
	part := sum / float64(len(zones))
	if capacity[zone] < part {
		z.Share = capacity[zone] / part
	}
	for i, b := range offered {
		of := b.target.Load().Zone
		if of == zone {
			z.Near, z.NearWeights = append(z.Near, b), append(z.NearWeights, weights[i])
			continue
		}
		spare := 1.0
		if of != "" && z.Share < 1 {
			spare = max(0, 1-part/capacity[of])
		}
		if weight := int(float64(weights[i])*spare*wordScale + 0.5); weight > 0 {
			z.Far, z.FarWeights = append(z.Far, b), append(z.FarWeights, weight)
		}
	}
	return z
}

// Crossing says which way bytes went between sluice and a backend.
type Crossing uint8

const (
	OwnZone     Crossing = iota
	OtherZone            // what a cloud bills
	UnknownZone          // of sluice or of the backend
)

// Crossings lists every Crossing, for whoever writes a metric series for each.
func Crossings() []Crossing { return []Crossing{OwnZone, OtherZone, UnknownZone} }

// String returns the crossing in lower case, as metrics show it.
func (c Crossing) String() string {
	switch c {
	case OwnZone:
		return "own"
	case OtherZone:
		return "other"
	}
	return "unknown"
}

// Traffic is bytes by direction, as Counters have them.
type Traffic struct{ In, Out uint64 }

// zoneTraffic adds up the bytes of a pool's backends by zone, also of those
// that are no members any more. The pool's mutex protects it.
type zoneTraffic struct {
	sums    [UnknownZone + 1]Traffic
	counted map[*Backend]Traffic // of each backend, what is in sums
}

// count adds what the pool's backends have moved since it was last called, and
// forgets those that are neither members nor in use. p.mu is held.
func (p *Pool) countTraffic() {
	t := &p.traffic
	for _, b := range p.sorted {
		if _, ok := t.counted[b]; !ok {
			if t.counted == nil {
				t.counted = make(map[*Backend]Traffic)
			}
			t.counted[b] = Traffic{}
		}
	}
	for b, was := range t.counted {
		over := b.Active() == 0 && p.members[b.id] != b // asked first: what is counted then is all
		is := Traffic{b.Counters.BytesIn.Load(), b.Counters.BytesOut.Load()}
		sum := &t.sums[p.crossing(b)]
		sum.In += is.In - was.In
		sum.Out += is.Out - was.Out
		if over {
			delete(t.counted, b)
		} else {
			t.counted[b] = is
		}
	}
}

func (p *Pool) crossing(b *Backend) Crossing {
	switch zone := b.target.Load().Zone; {
	case zone == "" || p.policy.Zone == "":
		return UnknownZone
	case zone == p.policy.Zone:
		return OwnZone
	}
	return OtherZone
}

// ZoneTraffic returns the bytes that went each way since the pool was made.
func (p *Pool) ZoneTraffic(c Crossing) Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.countTraffic()
	return p.traffic.sums[c]
}

// SetZone says in which zone this process runs; empty means that zones make no
// difference.
func (p *Pool) SetZone(zone string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.countTraffic() // as what it was
	p.policy.Zone = zone
	p.publish()
}
