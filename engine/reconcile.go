package engine

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"time"

	"sluice/engine/desired"
	"sluice/l7"
	"sluice/pkg/config"
)

// turn makes what runs be as one state says, and touches nothing that is so
// already. All that can fail is done first, and undone if something fails: then
// nothing has changed. What tags ask for is another matter: a part of that which
// cannot be had leaves the rest alone.
type turn struct {
	e    *Engine
	next desired.State

	made     []*change // of services that are new
	changed  []*change
	recalled []*change        // of services that had departed
	skipped  map[string]error // services of tags that could not be made
	bound    []*front
	replaces map[*front]*front // of bound, the ones whose socket they have
	refused  map[string]error  // listeners of tags that could not be bound, by ID
	routes   []l7.Route
}

// become takes a turn; e.turn is held. It returns what of the tags' wishes could
// not be had.
func (e *Engine) become(next desired.State) (*turn, error) {
	t := &turn{e: e, next: next, skipped: make(map[string]error), replaces: make(map[*front]*front), refused: make(map[string]error)}
	err := errors.Join(t.prepareServices(), t.bind())
	if err == nil {
		err = t.lead()
	}
	if err != nil {
		t.undo()
		return t, err
	}
	t.commit()
	return t, nil
}

// prepareServices makes the services that are new, and ready what changes of the
// others.
func (t *turn) prepareServices() error {
	var problems []error
	for _, want := range t.next.Services {
		s, departed := t.e.services.find(want.ID)
		var c *change
		var err error
		switch {
		case s == nil:
			if c, err = t.e.services.make(want); err == nil {
				t.made = append(t.made, c)
			}
		case departed || !reflect.DeepEqual(*s.wants.Load(), want):
			c, err = t.e.services.prepare(s, want)
			switch {
			case err != nil:
			case departed:
				t.recalled = append(t.recalled, c)
			default:
				t.changed = append(t.changed, c)
			}
		}
		switch {
		case err != nil && want.Pool != nil:
			t.skipped[want.ID] = err
		case err != nil:
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// serviceOf returns a service of the next state, nil if there is none.
func (t *turn) serviceOf(id string) *service {
	for _, c := range slices.Concat(t.made, t.changed, t.recalled) {
		if c.s.id == id {
			return c.s
		}
	}
	if _, wanted := t.next.Service(id); !wanted {
		return nil
	}
	return t.e.services.get(id)
}

// bind binds the listeners that are new or otherwise than they were. One that
// changes takes over the socket, and so does one in place of another at the same
// address.
func (t *turn) bind() (err error) {
	if t.routes, err = t.e.fronts.routesOf(t.next.Routes, t.serviceOf); err != nil {
		return err
	}
	going := make(map[string]*front) // by address
	for _, f := range t.e.fronts.list() {
		if _, stays := t.next.Listener(f.id); !stays && !f.wants.AnyPort() {
			going[f.wants.Addr] = f
		}
	}
	var problems []error
	for _, want := range t.next.Listeners {
		old := t.e.fronts.get(want.ID)
		if old != nil && reflect.DeepEqual(old.wants, want) && t.sameServices(old) {
			continue
		}
		if old == nil {
			old = going[want.Addr]
		}
		if old == nil {
			old = t.e.fronts.leavingAt(want.Addr)
		}
		f, err := t.e.fronts.make(want, old, t.serviceOf, t.routes)
		if errors.Is(err, net.ErrClosed) { // by a moment
			old = nil
			f, err = t.e.fronts.make(want, nil, t.serviceOf, t.routes)
		}
		if err == nil {
			err = t.e.fronts.add(f)
		}
		switch {
		case err == nil:
			t.bound = append(t.bound, f)
			if old != nil {
				t.replaces[f] = old
			}
		case want.Tags:
			t.refused[want.ID] = err
		default:
			problems = append(problems, fmt.Errorf("--%s: %w", want.Kind, err))
		}
	}
	return errors.Join(problems...)
}

// sameServices reports whether a listener leads to the services that it is to
// lead to, and not to others of the same IDs that were before.
func (t *turn) sameServices(f *front) bool {
	return !slices.ContainsFunc(f.leadsTo, func(s *service) bool { return t.serviceOf(s.id) != s })
}

// lead lets the services that are new find their members and then leads HTTP
// requests as the state says.
func (t *turn) lead() error {
	var fresh []*service
	for _, c := range slices.Concat(t.made, t.recalled) {
		c.commit(t.e.services)
		t.e.services.add(c.s)
		if c.next.Pool == nil {
			fresh = append(fresh, c.s)
		}
	}
	if t.e.life.get() == running && len(fresh) > 0 {
		if missing := awaitFirstLists(fresh, time.Now().Add(firstListWait)); len(missing) > 0 {
			t.e.logger.Warn("the members of some new services are not known yet", "services", missing)
		}
	}
	if !t.rerouted() {
		return nil
	}
	if err := t.e.fronts.setRoutes(t.routes, func(id string) bool { _, stays := t.next.Listener(id); return stays }); err != nil {
		return err
	}
	t.e.led = ledRoutes{t.next.Routes, t.leads()}
	leads := t.next.LeadsHTTP
	t.e.fronts.leadsHTTP.Store(&leads)
	return nil
}

// ledRoutes are the routes that were applied last, and the services that they
// lead to.
type ledRoutes struct {
	routes   []desired.Route
	services map[string]*service
}

// leads returns the services to which the routes lead, by their IDs.
func (t *turn) leads() map[string]*service {
	all := make(map[string]*service)
	for _, r := range t.next.Routes {
		for _, id := range []string{r.To, r.CanaryTo, r.MirrorTo} {
			if s := t.serviceOf(id); id != "" && s != nil {
				all[id] = s
			}
		}
	}
	return all
}

// rerouted reports whether the routes are other ones than before.
func (t *turn) rerouted() bool {
	return !reflect.DeepEqual(t.e.led.routes, t.next.Routes) || !maps.Equal(t.e.led.services, t.leads())
}

// undo gives back what was made.
func (t *turn) undo() {
	for _, f := range t.bound {
		t.e.fronts.forget(f)
	}
	for _, c := range t.made {
		t.e.services.remove(c.s)
	}
	for _, c := range t.recalled {
		t.e.services.depart(c.s)
	}
}

// commit does what cannot fail: services change, listeners that are new accept,
// and then those go that are not wanted.
func (t *turn) commit() {
	e := t.e
	for _, c := range t.changed {
		c.commit(e.services)
	}
	ended := func() { e.services.bury() }
	for _, f := range t.bound {
		if old := t.replaces[f]; old != nil {
			e.fronts.replace(old, ended)
		}
		if e.life.get() != starting {
			e.fronts.start(f, e.failOf(f))
		}
	}
	for _, f := range e.fronts.list() {
		if _, wanted := t.next.Listener(f.id); !wanted {
			e.fronts.leave(f, ended)
		}
	}
	for _, s := range e.services.wanted() {
		if _, wanted := t.next.Service(s.id); !wanted {
			e.services.depart(s)
		}
	}
	e.services.bury()
	used := make(map[config.Auth]bool)
	for _, l := range t.next.Listeners {
		used[l.Auth] = true
	}
	for _, r := range t.next.Routes {
		used[r.Users] = true
	}
	e.services.auths.keep(used)
	e.logs.become(t.next.Process)
	e.state.Store(&t.next)
}
