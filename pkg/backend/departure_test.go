package backend

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeparturesForget checks that nothing is left of a backend that is gone, in
// whatever order it left and its time ended, and that one which comes back has
// its time anew.
func TestDeparturesForget(t *testing.T) {
	t.Parallel()
	a := Target{ID: "a", Address: "10.0.0.1:1", Weight: 1, Status: Passing}
	b := Target{ID: "b", Address: "10.0.0.2:1", Weight: 1, Status: Passing}
	out := b
	out.Status = Maintenance
	const drain = time.Minute
	for name, steps := range map[string][][]Target{
		"gone":                          {{a}},
		"in maintenance, gone at once":  {{a, out}, {a}},
		"in maintenance for long, gone": {{a, out}, nil, {a}},
		"back, and gone":                {{a, out}, nil, {a, b}, {a}},
		"back while gone, and gone":     {{a}, {a, b}, {a}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended []string
				d := &departing{
					Departures: Departures{Terms: func() Terms { return Terms{Drain: drain} }, End: func(addr string, _ Departure, _ time.Duration) { ended = append(ended, addr) }},
					all:        make(map[string]*leaver),
				}
				p := NewPool("web")
				p.OnChange(d.follow)
				p.Set([]Target{a, b})
				times := 1
				for i, s := range steps {
					if s == nil { // the time ends
						time.Sleep(2 * drain)
						if i < len(steps)-1 && len(steps[i+1]) == 2 {
							times++
						}
						continue
					}
					p.Set(s)
				}
				time.Sleep(2 * drain)
				synctest.Wait()
				if want := slices.Repeat([]string{b.Address}, times); !slices.Equal(ended, want) {
					t.Errorf("unexpected ends; got %q; want %q", ended, want)
				}
				if d.all[a.Address] == nil || len(d.all) != 1 {
					t.Errorf("%d backends are known; want one", len(d.all))
				}
			})
		})
	}
}
