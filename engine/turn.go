package engine

import (
	"errors"

	"sluice/discovery/fabio"
	"sluice/engine/desired"
)

// change makes other sources count, by the function that changes them, and then
// what runs be as they say. If that cannot be, nothing has changed.
func (e *Engine) change(of func(*desired.Sources)) error {
	e.turn.Lock()
	defer e.turn.Unlock()
	if e.stopped {
		return errors.New("stopping")
	}
	next := e.sources
	of(&next)
	_, _, err := e.merge(next)
	return err
}

// merge makes what runs be as sources say; e.turn is held.
func (e *Engine) merge(next desired.Sources) ([]fabio.Problem, *turn, error) {
	next.Called = e.services.called()
	effective := next.Overlay.Over(next.Config)
	before := e.services.config.Swap(effective)
	state, problems := desired.Merge(next)
	t, err := e.become(state)
	if err != nil {
		e.services.config.Store(before)
		return nil, t, err
	}
	e.sources = next
	return problems, t, nil
}

// follow makes a table of tags count. It returns what of it cannot be had, by
// rule and by what went wrong.
func (e *Engine) follow(table *fabio.Table) ([]fabio.Problem, map[string]error) {
	e.turn.Lock()
	defer e.turn.Unlock()
	if e.stopped {
		return nil, nil
	}
	next := e.sources
	next.Tags = table
	problems, t, err := e.merge(next)
	refused := t.refused
	for id, err := range t.skipped {
		refused[id] = err
	}
	if err != nil {
		refused["tags"] = err
	}
	return problems, refused
}

// State returns how everything is to run, as it was applied last. It must not be
// changed.
func (e *Engine) State() desired.State { return *e.state.Load() }
