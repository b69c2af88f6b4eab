package engine

import "slices"

// departed is a service that no tag asks for any more. It stays, without
// members, until its last connection has ended, and is used again if tags ask
// for it before.
type departed struct {
	service *service
	pool    string // its name in the table
	addr    string // of the TCP listener that led to it; empty if routes did
}

// depart takes all members from a service, as a registry does with one whose
// last instance is gone, and keeps it until its connections have ended.
func (t *tags) depart(d departed) {
	d.service.update(nil)
	t.departed = append(t.departed, d)
}

// recall returns a departed service, nil if there is none.
func (t *tags) recall(pool, addr string) *service {
	i := slices.IndexFunc(t.departed, func(d departed) bool { return d.pool == pool && d.addr == addr })
	if i < 0 {
		return nil
	}
	s := t.departed[i].service
	t.departed = slices.Delete(t.departed, i, i+1)
	return s
}

// bury forgets the departed services whose connections have ended.
func (t *tags) bury() {
	t.departed = slices.DeleteFunc(t.departed, func(d departed) bool {
		if !d.service.over() {
			return false
		}
		t.services.remove(d.service)
		t.logger.Info("a service that tags asked for is gone", "service", d.service.name)
		return true
	})
}
