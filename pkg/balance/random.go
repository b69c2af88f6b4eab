package balance

import "sluice/pkg/backend"

type random struct{}

type randomPicker struct{ table *aliasTable }

func (random) Plan(s *backend.Snapshot) Picker {
	return &randomPicker{table: newAliasTable(s.Eligible, s.Weights)}
}

func (p *randomPicker) Pick(req Request) *backend.Backend { return p.table.drawUntried(req.Tried) }
