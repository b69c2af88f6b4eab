package advice

import (
	"math"
	"math/rand/v2"
	"testing"
)

// noisy makes minutes whose latency is that of level, with noise of that part,
// a share of which stays from minute to minute.
func noisy(random *rand.Rand, n int, noise, stays float64, level func(minute int) float64) (all []Minute) {
	state := random.NormFloat64()
	for i := range n {
		state = stays*state + math.Sqrt(1-stays*stays)*random.NormFloat64()
		all = append(all, Minute{Requests: 1000, Latency: level(i) * math.Exp(noise*state)})
	}
	return all
}

// TestFalseAlarms simulates services whose latency does not rise, and counts how
// often the rule says that it does. trend.go states the result.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	const days = 20
	worst := 0.0
	for _, noise := range []float64{0.05, 0.1, 0.2, 0.4, 0.6} {
		for _, stays := range []float64{0, 0.5, 0.8} {
			evaluations, fired, alarms := 0, 0, 0
			for range days {
				minutes := noisy(random, 24*60, noise, stays, func(int) float64 { return 0.02 })
				on := false
				for end := 60; end <= len(minutes); end++ {
					_, _, ok := risen(minutes[end-60 : end])
					evaluations++
					if ok {
						fired++
						if !on {
							alarms++
						}
					}
					on = ok
				}
			}
			rate := float64(fired) / float64(evaluations)
			t.Logf("noise %3.0f %%, %.1f stays: %.5f of evaluations, %.2f alarms a day", 100*noise, stays, rate, float64(alarms)/days)
			worst = max(worst, rate)
			if most := statedAlarms(noise, stays); float64(alarms) > most*days {
				t.Errorf("unexpected number of alarms; got %d in %d days; want at most %g a day", alarms, days, most)
			}
		}
	}
	t.Logf("worst: %.5f of evaluations", worst)
	if worst > statedFalse {
		t.Errorf("unexpected part of evaluations that say so falsely; got %.5f; want at most %.5f", worst, statedFalse)
	}
}

// statedFalse and statedAlarms are what trend.go states.
const statedFalse = 0.007

func statedAlarms(noise, stays float64) float64 {
	switch {
	case stays == 0 && noise <= 0.2:
		return 1.0 / 7
	case noise <= 0.2:
		return 1.5
	}
	return 3.5
}

// TestRiseIsFound simulates real rises and counts how soon they are found.
func TestRiseIsFound(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 8))
	const tries = 400
	found := 0
	for range tries {
		minutes := noisy(random, 70, 0.05, 0, func(i int) float64 {
			if i >= 60 {
				return 0.026
			}
			return 0.02
		})
		for end := 61; end <= 66; end++ {
			if _, _, ok := risen(minutes[end-60 : end]); ok {
				found++
				break
			}
		}
	}
	t.Logf("%d of %d rises found within 6 minutes", found, tries)
	if found < tries*9/10 {
		t.Errorf("unexpected number of rises found; got %d of %d", found, tries)
	}
}

// TestRisen has hours of which little is known.
func TestRisen(t *testing.T) {
	t.Parallel()
	f := func(what string, minutes []Minute, want bool) {
		t.Helper()
		if _, _, got := risen(minutes); got != want {
			t.Fatalf("unexpected verdict on %s: %v", what, got)
		}
	}
	up := steady(5, 0.03)
	f("nothing", nil, false)
	f("the first minutes", append(steady(15, 0.02), up...), false)
	f("a rise", append(steady(55, 0.02), up...), true)
	f("a rise of 10 %", append(steady(55, 0.02), steady(5, 0.022)...), false)
	f("a fall", append(steady(55, 0.03), steady(5, 0.02)...), false)
	idle := steady(55, 0.02)
	for i := range idle {
		idle[i].Requests = 3
	}
	f("an hour with hardly a request", append(idle, up...), false)
	few := append(steady(55, 0.02), steady(5, 0.03)...)
	few[58].Requests = 1
	f("a minute with hardly a request", few, false)
	gap := append(steady(40, 0.02), Minute{Latency: math.NaN()}, Minute{Latency: math.NaN()})
	f("an hour with a gap", append(append(gap, steady(13, 0.02)...), up...), true)
}
