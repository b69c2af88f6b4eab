package health

import "sluice/pkg/backend"

// Readmit ends an ejection of b, on an operator's word; why says whose. It does
// nothing if there is none.
func (m *Monitor) Readmit(b *backend.Backend, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.loops[b]; l != nil {
		select {
		case l.readmit <- why:
		default: // one is under way
		}
	}
}
