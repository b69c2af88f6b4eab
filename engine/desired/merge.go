package desired

import (
	"sluice/discovery/fabio"
)

// Merge returns what the sources want together, and what of the tags' table
// cannot be had. The configuration with the overlay must be valid.
func Merge(s Sources) (State, []fabio.Problem) {
	c := s.Overlay.Over(s.Config)
	state := State{
		Listeners: configuredListeners(c),
		Process:   Process{LogLevel: c.LogLevel, AccessLog: c.AccessLog, Sample: c.AccessLogSample},
	}
	for _, r := range c.Routes {
		state.Routes = append(state.Routes, configuredRoute(c, r))
	}
	for _, name := range c.ServiceNames() {
		state.Services = append(state.Services, configuredService(c, name))
	}
	var problems []fabio.Problem
	if s.Tags != nil {
		problems = state.addTags(c, s.Tags, s.Overlay)
	}
	state.name(s.Called)
	state.lead(s.Overlay)
	state.name(s.Called) // what lead has made
	state.operate(s.Overlay)
	for i := range state.Listeners {
		if l := &state.Listeners[i]; l.Tags {
			x, _ := state.Service(l.Parts[0].To)
			l.Name = x.Settings.Name
		}
	}
	return state, problems
}

// name gives every service a name of its own. Those that run, and those that
// have one, keep theirs.
func (s *State) name(called map[string]string) {
	taken := make(map[string]bool)
	for _, name := range called {
		taken[name] = true
	}
	for i := range s.Services {
		x := &s.Services[i]
		if x.named {
			taken[x.Settings.Name] = true
			continue
		}
		name, runs := called[x.ID]
		if !runs {
			if name = x.Settings.Name; taken[name] {
				name += "@" + x.Else
			}
			taken[name] = true
		}
		x.Settings.Name, x.named = name, true
	}
}
