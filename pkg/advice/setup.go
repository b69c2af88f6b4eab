package advice

import (
	"fmt"
	"net/url"
	"time"
)

func pathEscape(s string) string { return url.PathEscape(s) }

// behind is for how long a source may be in trouble before it is one's own.
const behind = time.Minute

func sourceTrouble(f Facts) []Finding {
	return ofServices(f, func(s Service) (all []Finding) {
		for _, src := range s.Sources {
			age := f.Now.Sub(src.Since)
			if src.Trouble == "" || age < behind {
				continue
			}
			x := Finding{
				Severity:    Warning,
				Evidence:    fmt.Sprintf("%s: %s, for %s", src.Name, src.Trouble, rounded(age)),
				Consequence: "backends that came since are not used, and those that left are noticed by checks alone",
				Action:      "see whether that source works, and whether sluice reaches it",
			}
			if age > 15*time.Minute {
				x.Severity = Critical
			}
			all = append(all, x)
		}
		return all
	})
}

func connectionsShort(f Facts) (all []Finding) {
	p := f.Process
	fill := func(what, knob string, open, most int) {
		if most <= 0 || float64(open) < full*float64(most) {
			return
		}
		x := Finding{
			Severity:    Warning,
			Evidence:    fmt.Sprintf("%d of %d connections of clients are open %s, %s", open, most, what, percent(float64(open)/float64(most))),
			Consequence: "those beyond are closed as they come",
			Action:      knob,
		}
		if float64(open) > veryFull*float64(most) {
			x.Severity = Critical
		}
		all = append(all, x)
	}
	fill("that open files allow", "raise the limit of open files (LimitNOFILE=, ulimits), or run more of sluice", p.Connections, p.MaxConns)
	for _, l := range p.Listeners {
		fill("on "+l.Name, "raise max-conns of that listener, or run more of sluice", l.Open, l.MaxConns)
	}
	return all
}

func portsShort(f Facts) []Finding {
	most := float64(f.Process.Ports)
	if most == 0 {
		return nil
	}
	return ofServices(f, func(s Service) (all []Finding) {
		for _, b := range s.Backends {
			if b.Active < full*most {
				continue
			}
			all = append(all, Finding{
				Severity: Critical, Backend: b.Address,
				Evidence:    fmt.Sprintf("%.0f connections are open to it, and the system has %.0f ports for one destination (net.ipv4.ip_local_port_range)", b.Active, most),
				Consequence: "when there are none left, connects to it fail although it is well",
				Action:      "widen net.ipv4.ip_local_port_range, or add backends",
			})
		}
		return all
	})
}

// StopSlack is what a stop needs beside draining.
const StopSlack = 2 * time.Second

func stopTimeout(f Facts) []Finding {
	p := f.Process
	need := p.DrainDelay + p.Drain + StopSlack
	if p.StopTimeout == 0 || need <= p.StopTimeout {
		return nil
	}
	return []Finding{{
		Severity:    Warning,
		Evidence:    fmt.Sprintf("--drain-delay %v and --drain-timeout %v need %v, and %s kills after %v unless told otherwise", p.DrainDelay, p.Drain, need, p.Surroundings, p.StopTimeout),
		Consequence: "each deployment cuts connections that would have finished",
		Action:      "raise the stop timeout (stopTimeout in ECS, TimeoutStopSec= in systemd), or lower --drain-timeout",
	}}
}

// forgotten is how long a change without an end is taken to be meant.
const forgotten = 12 * time.Hour

func forgottenChange(f Facts) (all []Finding) {
	for _, c := range f.Changes {
		age := f.Now.Sub(c.At)
		if !c.Endless || age < forgotten {
			continue
		}
		switch c.What {
		case "drain", "force", "maintenance", "eject":
		default: // a weight or a strategy may be meant to stay
			continue
		}
		all = append(all, Finding{
			Severity: Warning, Service: c.Service, Backend: c.Backend,
			Evidence:    fmt.Sprintf("%s by %q for %s, with no end; reason: %q", c.What, c.By, rounded(age), c.Reason),
			Consequence: "what was meant for a while goes on for ever",
			Action:      "undo it, or give it an end",
			Call:        &Call{Method: "DELETE", Path: "/admin/changes", Params: map[string]string{"id": c.ID}},
		})
	}
	return all
}

func troubles(f Facts) (all []Finding) {
	for _, t := range f.Troubles {
		all = append(all, Finding{
			Severity: Warning, Evidence: t,
			Consequence: "what is in use may be old, or not what was meant",
			Action:      "see /readyz and the log",
		})
	}
	return all
}
