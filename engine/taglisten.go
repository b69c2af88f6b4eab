package engine

import (
	"slices"

	"sluice/discovery"
	"sluice/discovery/fabio"
	"sluice/l4"
)

// tagListener is a TCP listener that was asked for, with a service of its own,
// so that nothing but its members ever changes.
type tagListener struct {
	front   *front
	service *service
	pool    string // its name in the table when it was made
	members []discovery.Member
	header  bool // members get a PROXY header
}

// applyListeners opens the TCP listeners that are new, changes the members of
// the others, and closes those that nobody asks for. Connections live on.
func (t *tags) applyListeners(table *fabio.Table) {
	pools := make(map[string]fabio.Pool)
	for _, p := range table.Pools {
		pools[p.Name] = p
	}
	wanted, refused := make(map[string]bool), make(map[string]string)
	for _, l := range table.Listeners {
		wanted[l.Addr] = true
		p := pools[l.Pool]
		open := t.listeners[l.Addr]
		if open != nil && open.header != l.ProxyProto {
			t.changeHeader(l, p, open)
		}
		if open == nil {
			var err error
			if open, err = t.open(l, p); err != nil {
				refused[l.Addr] = err.Error()
				if t.refused[l.Addr] != err.Error() {
					t.logger.Error("cannot open a TCP listener that tags ask for; trying again", "addr", l.Addr, "service", p.Name, "err", err)
				}
				continue
			}
			t.listeners[l.Addr] = open
		}
		if !slices.EqualFunc(open.members, p.Members, discovery.Member.Equal) {
			open.members = p.Members
			open.service.update(slices.Clone(p.Members))
		}
	}
	t.refused = refused
	for addr, l := range t.listeners {
		if !wanted[addr] {
			t.closeListener(addr, l)
		}
	}
}

func (t *tags) closeListener(addr string, l *tagListener) {
	delete(t.listeners, addr)
	s := l.service
	t.fronts.leave(l.front, func() {
		s.fronts.Add(-1)
		t.notify()
	})
	t.depart(departed{service: s, pool: l.pool, addr: addr})
}

// changeHeader has an open listener send its members a PROXY header, or send
// none any more, in the connections to come.
func (t *tags) changeHeader(what fabio.Listener, p fabio.Pool, l *tagListener) {
	version := proxyOut(t.settingsOf(p), what.ProxyProto)
	if err := l.service.speakProxy(version); err != nil {
		t.logger.Error("cannot change the PROXY header as tags ask", "service", l.service.name, "err", err)
		return
	}
	l.header, l.members = what.ProxyProto, p.Members
	l.front.server.(*l4.Server).SetProxyOut(version)
	l.service.update(slices.Clone(p.Members)) // whose checks send one, too
}

// open opens a listener for the members of p.
func (t *tags) open(what fabio.Listener, p fabio.Pool) (*tagListener, error) {
	l := &tagListener{pool: p.Name, members: p.Members, header: what.ProxyProto}
	old, name := t.recall(p.Name, what.Addr), t.nameOf(p, what.Addr)
	if old != nil {
		name = old.name
	}
	var err error
	l.front, err = t.fronts.add(name, what.Addr, func() (*service, error) {
		if l.service, err = old, nil; old == nil {
			l.service, err = t.addService(p, name, what.ProxyProto)
		} else {
			err = old.speakProxy(proxyOut(t.settingsOf(p), what.ProxyProto))
		}
		if err == nil {
			l.service.update(slices.Clone(p.Members))
		}
		return l.service, err
	})
	switch {
	case err == nil:
		l.service.fronts.Add(1)
		if old == nil {
			t.announce(l.service, p)
		}
		return l, nil
	case old != nil:
		t.depart(departed{service: old, pool: p.Name, addr: what.Addr})
	case l.service != nil:
		t.services.remove(l.service)
	}
	return nil, err
}
