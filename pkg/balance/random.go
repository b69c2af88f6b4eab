package balance

import "sluice/pkg/backend"

type random struct{}

type randomPicker struct{ table *aliasTable }

func (random) Plan(s *backend.Snapshot) Picker {
	return &randomPicker{table: newAliasTable(s.Eligible, s.Weights)}
}

// Pick draws again if it hit a backend that is warming up and not to be used
// this time.
func (p *randomPicker) Pick(req Request) *backend.Backend {
	b := p.table.drawUntried(req.Tried)
	for n := 0; n < draws && b != nil && cold(b); n++ {
		b = p.table.drawUntried(req.Tried)
	}
	return b
}
