package control

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is something wrong with one field of an order.
type Problem struct {
	// Field is the name of the parameter.
	Field string `json:"field"`
	// Value is what it was.
	Value string `json:"value"`
	// Reason says what is wrong with it.
	Reason string `json:"reason"`
	// Allowed lists the values that it may have, or forms of them.
	Allowed []string `json:"allowed,omitempty"`
}

func (p Problem) Error() string {
	s := p.Field + ": " + p.Reason
	if p.Value != "" {
		s = fmt.Sprintf("%s: %q: %s", p.Field, p.Value, p.Reason)
	}
	if len(p.Allowed) > 0 {
		s += "; allowed are " + strings.Join(p.Allowed, ", ")
	}
	return s
}

// Problems is all that is wrong with an order.
type Problems []Problem

func (ps Problems) Error() string {
	var all []string
	for _, p := range ps {
		all = append(all, p.Error())
	}
	return strings.Join(all, "\n")
}

// Why an order is refused although nothing is wrong with its form.
var (
	// ErrStale means that somebody else has changed something meanwhile.
	ErrStale = errors.New("it was changed meanwhile")
	// ErrNoContact means that the store cannot be reached.
	ErrNoContact = errors.New("the store of changes cannot be reached")
	// ErrNotKept means that the store could not write, and nothing has changed.
	ErrNotKept = errors.New("the change could not be written")
	// ErrNewer means that what the store has was written by a newer sluice.
	ErrNewer = errors.New("the store has what a newer sluice has written")
	// ErrFull means that there are too many changes in force.
	ErrFull = errors.New("too many changes are in force")
	// ErrNotFound means that there is no such target or change.
	ErrNotFound = errors.New("there is no such thing")
)

// Conflict is why an order that is well-formed cannot be done as things are.
type Conflict struct {
	// Reason says why.
	Reason string
	// Forcible says that it is done all the same if it is forced.
	Forcible bool
}

func (c Conflict) Error() string { return c.Reason }
