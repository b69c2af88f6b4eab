package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/health"
)

// The simulation runs real pools, monitors and balancers in worlds that a seed
// chooses, in time that passes as fast as it can be computed. A world is a
// service with up to hundreds of members; for troubleTime things go wrong with
// them, alone and together, and for quietTime nothing does. What must hold at
// every moment, and at the end, is in world.check and world.finish.
//
// SLUICE_SIM_SEEDS=5000 runs that many worlds, SLUICE_SIM_FROM=123 begins with
// that seed. A seed fixes the world, but not the lots that sluice draws.

const (
	troubleTime = 100 * time.Second
	quietTime   = 100 * time.Second
	// recoveryTime bounds how long who works again can be out for what checks
	// can refute: 32 passes an interval apart, and some to begin with.
	recoveryTime = 75 * time.Second
	// noticeTime bounds how long who does not answer at all stays in use.
	noticeTime = 6 * time.Second
)

// trouble is what is wrong with a member.
type trouble uint8

const (
	fine    trouble = iota
	refuses         // connects
	silent          // answers nothing, as if cut off
	faulty          // passes checks and fails whoever uses it
)

// incident is a trouble for a while. If half is not 0 it comes and goes.
type incident struct {
	what     trouble
	from, to time.Duration
	half     time.Duration
}

func (i incident) at(t time.Duration) trouble {
	if t < i.from || t >= i.to || i.half > 0 && (t-i.from)/i.half%2 == 1 {
		return fine
	}
	return i.what
}

// actor is a member with what happens to it.
type actor struct {
	target    backend.Target
	incidents []incident
	left      bool          // it is not to be listed any more
	since     time.Duration // when it was listed again
}

// at returns what is wrong with the member; the worst counts.
func (a *actor) at(t time.Duration) trouble {
	worst := fine
	for _, i := range a.incidents {
		switch now := i.at(t); now {
		case refuses, silent:
			return now
		case faulty:
			worst = now
		}
	}
	return worst
}

// steady reports whether all was well with the member for so long.
func (a *actor) steady(t, since time.Duration) bool {
	for _, i := range a.incidents {
		if i.from < t && i.to > t-since {
			return false
		}
	}
	return true
}

// gone reports whether the member has not answered anything for so long.
func (a *actor) gone(t, since time.Duration) bool {
	for _, i := range a.incidents {
		if (i.what == refuses || i.what == silent) && i.half == 0 && i.from <= t-since && i.to > t {
			return true
		}
	}
	return false
}

// world is one simulation.
type world struct {
	t        *testing.T
	seed     uint64
	rng      *rand.Rand
	begin    time.Time
	policy   backend.Policy
	strategy string
	tested   health.Layer
	actors   []*actor
	byAddr   map[string]*actor
	cutOff   incident // the registry cannot be reached
	wiped    incident // the registry has lost its memory

	pool     *backend.Pool
	monitor  *health.Monitor
	balancer *balance.Balancer

	ejections int            // most at a time
	picks     map[string]int // in the last part of the quiet time
	failed    int
	served    int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), byAddr: make(map[string]*actor), picks: make(map[string]int)}
	n := int(math.Exp(w.rng.Float64()*math.Log(60))) + 1 // 2 to 60, small ones more often
	if seed%20 == 19 {
		n = 200 + w.rng.IntN(200)
	}
	w.policy.MaxEjection = []int{50, 50, 10, 100, 0}[w.rng.IntN(5)]
	w.policy.Panic = []int{50, 50, 0, 20, 100}[w.rng.IntN(5)]
	if w.rng.IntN(3) == 0 {
		w.policy.Zone = "a"
	}
	w.strategy = []string{"p2c", "round_robin", "least_conn", "random", "p2c_ewma", "maglev"}[w.rng.IntN(6)]
	w.policy.SlowStart = 5 * time.Second
	w.tested = []health.Layer{health.Answer, health.Connect}[w.rng.IntN(2)]
	for i := range n {
		a := &actor{target: backend.Target{ID: fmt.Sprintf("%03d", i), Address: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256), Weight: 1, Zone: string(rune('a' + i%3))}}
		if w.rng.IntN(4) == 0 {
			a.target.Weight = 1 + w.rng.IntN(5)
		}
		w.actors = append(w.actors, a)
		w.byAddr[a.target.Address] = a
	}
	for range 1 + w.rng.IntN(6) {
		w.strike()
	}
	if w.rng.IntN(3) == 0 {
		w.cutOff = w.some(0, time.Minute)
	}
	if w.rng.IntN(4) == 0 {
		w.wiped = w.some(0, time.Minute)
	}
	return w
}

// some returns an incident of a kind, up to so long, that ends in time.
func (w *world) some(what trouble, longest time.Duration) incident {
	i := incident{what: what, from: time.Duration(w.rng.Int64N(int64(troubleTime)))}
	i.to = min(troubleTime, i.from+time.Duration(w.rng.Int64N(int64(longest))))
	return i
}

// strike lets something happen to one member, to a zone, or to many.
func (w *world) strike() {
	what := trouble(1 + w.rng.IntN(3))
	i := w.some(what, time.Minute)
	switch w.rng.IntN(4) {
	case 0: // one flaps, at a period of 20 ms to 40 s
		i = w.some(what, troubleTime)
		i.half = time.Duration(float64(10*time.Millisecond) * math.Exp(w.rng.Float64()*math.Log(2000)))
		fallthrough
	case 1: // one
		a := w.actors[w.rng.IntN(len(w.actors))]
		a.incidents = append(a.incidents, i)
	case 2: // a zone
		zone := string(rune('a' + w.rng.IntN(3)))
		for _, a := range w.actors {
			if a.target.Zone == zone {
				a.incidents = append(a.incidents, i)
			}
		}
	case 3: // some, or all
		part := w.rng.Float64() * 1.2
		for _, a := range w.actors {
			if w.rng.Float64() < part {
				a.incidents = append(a.incidents, i)
			}
		}
	}
}

func (w *world) now() time.Duration { return time.Since(w.begin) }

// Probe is the check.
func (w *world) Probe(ctx context.Context, addr string) (health.Result, error) {
	switch w.byAddr[addr].at(w.now()) {
	case refuses:
		return health.Result{}, errors.New("refused")
	case silent:
		<-ctx.Done()
		return health.Result{}, ctx.Err()
	}
	return health.Result{Tested: w.tested}, nil
}

func (w *world) String() string { return "simulated check" }

// run lives through the world.
func (w *world) run() {
	w.begin = time.Now()
	w.pool = backend.NewPool("web")
	w.pool.SetPolicy(w.policy)
	w.monitor = health.NewMonitor(health.Config{Check: w, SlowStart: w.policy.SlowStart, Logger: slog.New(slog.DiscardHandler)})
	defer w.monitor.Close()
	var err error
	if w.balancer, err = balance.New(w.pool, w.strategy); err != nil {
		w.t.Fatal(err)
	}
	w.report()
	for tick := 0; w.now() < troubleTime+quietTime; tick++ {
		if tick%200 == 0 { // each second, something may change in the registry
			w.registry()
		}
		w.request()
		if tick%20 == 0 {
			synctest.Wait()
			w.check()
		}
		time.Sleep(5 * time.Millisecond)
	}
	synctest.Wait()
	w.finish()
}

// registry changes the membership a little, unless it cannot be reached.
func (w *world) registry() {
	if w.now() > troubleTime {
		for _, a := range w.actors {
			a.left, a.target.Status = false, backend.Passing
		}
	} else if w.rng.IntN(5) == 0 {
		a := w.actors[w.rng.IntN(len(w.actors))]
		switch w.rng.IntN(3) {
		case 0:
			a.left = !a.left
		case 1:
			a.target.Status = backend.Status(w.rng.IntN(4))
		}
	}
	if w.cutOff.from <= w.now() && w.now() < w.cutOff.to {
		return
	}
	w.report()
}

// report tells the pool what the registry lists.
func (w *world) report() {
	var targets []backend.Target
	for _, a := range w.actors {
		target := a.target
		if w.wiped.from <= w.now() && w.now() < w.wiped.to {
			target.Status = backend.Absent
		}
		if !a.left {
			targets = append(targets, target)
		}
	}
	added, removed := w.pool.Set(targets)
	for _, b := range added {
		w.byAddr[b.Addr()].since = w.now()
	}
	w.monitor.Follow(added, removed)
}

// request is one request of a client, tried up to three times.
func (w *world) request() {
	req := balance.Request{Key: rand.Uint64(), HasKey: true}
	client := backend.Witness{Client: netip.AddrFrom4([4]byte{10, 9, 0, byte(rand.IntN(20))})}
	for {
		b := w.balancer.Pick(req)
		if b == nil {
			w.failed++
			return
		}
		if w.now() > troubleTime+recoveryTime {
			w.picks[b.ID()]++
		}
		switch w.byAddr[b.Addr()].at(w.now()) {
		case fine:
			b.Observe(10*time.Millisecond, true)
			b.Counters.BytesOut.Add(1)
			b.ReportServed(client)
			b.Release()
			w.served++
			return
		case refuses:
			b.ReportConnectFailure()
			b.Release()
		case faulty:
			b.Observe(time.Millisecond, false)
			b.ReportFault(client)
			b.Release()
		case silent: // a hedge goes on elsewhere
			time.AfterFunc(200*time.Millisecond, b.Suspect)
			time.AfterFunc(2*time.Second, func() { b.ReportConnectFailure(); b.Release() })
		}
		if req.Tried.Add(b); req.Tried.Len() == balance.MaxTries {
			w.failed++
			return
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v (%d members, %s, %+v): %s", w.seed, w.now(), len(w.actors), w.strategy, w.policy, fmt.Sprintf(format, args...))
}

// candidate reports whether b could be used at all: nobody took it out on
// purpose, and somebody vouches for it.
func candidate(b *backend.Backend) bool {
	switch b.Target().Status {
	case backend.Critical, backend.Maintenance:
		return false
	case backend.Absent:
		return b.State() == backend.Up
	}
	return true
}

// check is what must hold at every moment.
func (w *world) check() {
	now, s := w.now(), w.pool.Snapshot()
	candidates, ejected, up, works, offered := 0, 0, 0, false, false
	for _, b := range s.All {
		a := w.byAddr[b.Addr()]
		if !candidate(b) {
			if s.Offers(b) {
				w.fail("%s is drained and offered", b.ID())
			}
			continue
		}
		candidates++
		if b.State() != backend.Down {
			up++
		}
		if b.Condition().Ejection.Active() && b.State() != backend.Down && !s.Offers(b) {
			ejected++
		}
		// The source's word may have changed a moment ago, but not what the
		// checks found.
		if a.steady(now, recoveryTime) && b.State() == backend.Up {
			works = true
			offered = offered || s.Offers(b)
		}
		// What happened for the first time is forgiven soon.
		if e := b.Condition().Ejection; w.tested == health.Answer && e.Active() && a.steady(now, recoveryTime) ||
			w.tested == health.Answer && e.Number == 1 && len(a.incidents) == 1 && a.steady(now, 10*time.Second) {
			w.fail("%s works and is still ejected: %+v", b.ID(), e)
		}
		if b.State() != backend.Down && a.gone(now, noticeTime) && now-a.since > noticeTime {
			w.fail("%s has not answered for %v and is %v", b.ID(), noticeTime, b.State())
		}
		if b.State() == backend.Down && a.steady(now, recoveryTime) {
			w.fail("%s has worked for %v and is down: %+v", b.ID(), recoveryTime, b.Condition())
		}
	}
	if works && !offered {
		w.fail("somebody works and nobody who does is offered: %d of %d", len(s.Eligible), len(s.All))
	}
	if len(s.Eligible) == 0 && (up > 0 || candidates > 0 && w.policy.Panic > 0) {
		w.fail("nobody is offered of %d, %d of them not down", candidates, up)
	}
	most := 0
	if w.policy.MaxEjection > 0 {
		most = max(1, candidates*w.policy.MaxEjection/100)
	}
	w.ejections = max(w.ejections, ejected)
	if ejected > most {
		w.fail("%d of %d are ejected; at most %d may be", ejected, candidates, most)
	}
	if s.Panic && w.policy.Panic == 0 {
		w.fail("panic without a threshold")
	}
	// Whoever is offered without being available is ejected: because too many
	// are, or all.
	if n := s.Available(); !s.Panic && n > 0 && n < len(s.Eligible)-most {
		w.fail("%d are offered of which %d are available, without a panic", len(s.Eligible), n)
	}
}

// finish is what must hold at the end, after the quiet time.
func (w *world) finish() {
	s := w.pool.Snapshot()
	sum := 0
	for _, b := range s.All {
		sum += b.Weight()
		c := &b.Counters
		// Each time a backend goes out counts for what the next recovery takes;
		// after eight times, one takes a minute.
		if n := c.WentUp.Load() + c.WentDown.Load() + c.Ejected.Load() + c.Readmitted.Load(); n > 30 {
			w.fail("%s made %d transitions: %d up, %d down, %d ejections", b.ID(), n, c.WentUp.Load(), c.WentDown.Load(), c.Ejected.Load())
		}
		if b.State() != backend.Up {
			w.fail("%s is %v %v after the last trouble: %+v", b.ID(), b.State(), quietTime, b.Condition())
		}
		if w.tested == health.Answer && b.Condition().Ejection.Active() {
			w.fail("%s is ejected although checks can refute it: %+v", b.ID(), b.Condition().Ejection)
		}
		if n := b.Active(); n != 0 {
			w.fail("%s has %d slots taken", b.ID(), n)
		}
	}
	if w.tested == health.Answer && len(s.Eligible) != len(w.actors) {
		w.fail("%d of %d are offered at the end", len(s.Eligible), len(w.actors))
	}
	// Shares: each backend gets its part by weight of the picks of the last
	// 25 s, 5,000 in all, give or take.
	total := 0
	for _, n := range w.picks {
		total += n
	}
	if w.tested != health.Answer || s.Zonal != nil || len(w.actors) > 60 {
		return // somebody may be ejected still, or too few picks are there
	}
	compares := w.strategy == "least_conn" || w.strategy == "p2c_ewma" // and finds all equal, as there is hardly any load
	for _, b := range s.All {
		if compares && sum != len(s.All) {
			break
		}
		want := float64(total) * float64(b.Weight()) / float64(sum)
		if got := float64(w.picks[b.ID()]); got < want*0.6-30 || got > want*1.5+30 {
			w.fail("%s got %v of %d picks by a weight of %d in %d; want about %v", b.ID(), got, total, b.Weight(), sum, want)
		}
	}
}

func number(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

func TestSimulation(t *testing.T) {
	t.Parallel()
	from, n := number("SLUICE_SIM_FROM", 0), number("SLUICE_SIM_SEEDS", worlds)
	if testing.Short() {
		n = min(n, 8)
	}
	var mu sync.Mutex
	var ejections []int
	served, failed := 0, 0
	t.Run("worlds", func(t *testing.T) {
		for worker := range uint64(4) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for seed := from + worker; seed < from+n; seed += 4 {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, seed)
						w.run()
						mu.Lock()
						defer mu.Unlock()
						ejections = append(ejections, w.ejections)
						served, failed = served+w.served, failed+w.failed
					})
				}
			})
		}
	})
	if t.Failed() {
		return
	}
	slices.Sort(ejections)
	t.Logf("%d worlds: %d requests served, %d failed; ejections at a time: median %d, most %d",
		len(ejections), served, failed, ejections[len(ejections)/2], ejections[len(ejections)-1])
	if ejections[len(ejections)-1] == 0 {
		t.Error("unexpected: nobody was ever ejected")
	}
}
