package desired

import (
	"reflect"

	"sluice/discovery/fabio"
	"sluice/pkg/config"
	"sluice/pkg/control"
)

// State is how everything is to run. Whoever has one must not change it.
type State struct {
	Services  []Service // in the order in which they are mentioned
	Listeners []Listener
	Routes    []Route
	Process   Process
}

// Sources are what a state is merged from.
type Sources struct {
	// Config is the configuration, and has been validated.
	Config *config.Config
	// Tags is what tags ask for, nil if nothing is known yet.
	Tags *fabio.Table
	// Overlay is what an operator changed.
	Overlay control.Overlay
	// Called are the names of services that run, by their IDs. They keep them,
	// and others get names that nobody has.
	Called map[string]string
}

// Process is what concerns the process as a whole.
type Process struct {
	LogLevel  string
	AccessLog bool
	Sample    int // one in so many records
}

// Equal reports whether both states are the same.
func (s State) Equal(o State) bool { return reflect.DeepEqual(s, o) }

// Service returns the service of that ID.
func (s State) Service(id string) (Service, bool) {
	for _, x := range s.Services {
		if x.ID == id {
			return x, true
		}
	}
	return Service{}, false
}

// Listener returns the listener of that ID.
func (s State) Listener(id string) (Listener, bool) {
	for _, x := range s.Listeners {
		if x.ID == id {
			return x, true
		}
	}
	return Listener{}, false
}

// LeadsHTTP reports whether a route leads to the service of that ID.
func (s State) LeadsHTTP(id string) bool {
	for _, r := range s.Routes {
		if r.To == id || r.CanaryTo == id || r.MirrorTo == id {
			return true
		}
	}
	return false
}
