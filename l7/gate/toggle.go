package gate

// Toggle is a switch that may be left to whoever is asked next.
type Toggle uint8

// Route, service and listener are asked in this order.
const (
	Inherit Toggle = iota
	On
	Off
)

// decide returns what the first of the toggles says that says something, or On if
// none does.
func decide(toggles ...Toggle) Toggle {
	for _, t := range toggles {
		if t != Inherit {
			return t
		}
	}
	return On
}

// passesHints reports whether interim responses of backends are for the client.
func (t *Ticket) passesHints() bool {
	return decide(t.route.hints, t.admission.rules.hints, t.g.cfg.EarlyHints) == On
}
