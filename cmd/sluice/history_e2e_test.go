package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// shownHistory is what /admin/history shows.
type shownHistory struct {
	Next   int
	Series []struct {
		Service  string
		Requests []*float64
		P99      []*float64
	}
	Marks []struct{ Kind, Service, Backend, Text string }
}

func historyOf(t *testing.T, admin, query string) (h shownHistory) {
	t.Helper()
	status, body := get("http://" + admin + "/admin/history?" + query)
	if err := json.Unmarshal([]byte(body), &h); err != nil || status != http.StatusOK {
		t.Fatalf("cannot read the history: %d, %v: %s", status, err, body)
	}
	return h
}

// TestHistory sends requests, stops a backend, and finds both in the history.
func TestHistory(t *testing.T) {
	t.Parallel()
	echos, addrs := startEchos(t, 2)
	s := startSluice(t, append(backendArgs(addrs), "--health-interval=100ms")...)
	url, admin := "http://"+s.addr("l7")+"/", s.addr("admin")
	eventually(t, "there is a step", func() bool { return historyOf(t, admin, "").Next > 0 })
	const n = 300
	for range n {
		if status, body := get(url); status != http.StatusOK {
			t.Fatalf("unexpected answer: %d %s", status, body)
		}
	}
	eventually(t, "the requests are in the history, of all and of the service", func() bool {
		h := historyOf(t, admin, "service=*&metrics=requests,p99")
		if len(h.Series) != 2 || h.Series[1].Service != "echo" {
			return false
		}
		for _, series := range h.Series {
			sum, times := 0.0, 0
			for i := range series.Requests {
				if r := series.Requests[i]; r != nil {
					sum += *r
				}
				if series.P99[i] != nil {
					times++
				}
			}
			// A step is of a second or so: what was counted in it is divided by that.
			if sum < 0.5*n || sum > 1.5*n || times == 0 {
				return false
			}
		}
		return true
	})
	echos[0].signal(syscall.SIGKILL)
	eventually(t, "the change of the backend is marked", func() bool {
		for _, m := range historyOf(t, admin, "service=echo").Marks {
			if m.Kind == "transition" && m.Service == "echo" && m.Backend == addrs[0] && strings.HasPrefix(m.Text, "down") {
				return true
			}
		}
		return false
	})
}

// shownFinding is a finding as /admin/advice shows it.
type shownFinding struct{ Rule, Severity, Service, Backend, Evidence, Consequence, Action string }

// TestAdvice has a sluice on which all is well, but for having two backends, and
// then has one of the two fail: advice says what it means.
func TestAdvice(t *testing.T) {
	t.Parallel()
	echos, addrs := startEchos(t, 2)
	s := startSluice(t, append(backendArgs(addrs), "--health-interval=100ms")...)
	findings := func() (rules map[string]shownFinding) {
		rules = make(map[string]shownFinding)
		status, body := get("http://" + s.addr("admin") + "/admin/advice")
		var a struct {
			Advice []shownFinding
			Rules  []string
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK || len(a.Rules) < 15 {
			t.Fatalf("cannot read the advice: %d, %v: %s", status, err, body)
		}
		for _, x := range a.Advice {
			rules[x.Rule] = x
		}
		return rules
	}
	eventually(t, "all is well", func() bool { return len(findings()) == 0 })
	echos[0].signal(syscall.SIGKILL)
	eventually(t, "one is left", func() bool {
		x := findings()["single_backend"]
		return x.Service == "echo" && x.Severity == "warning" && x.Evidence == "1 of 2 backends can serve"
	})
	echos[1].signal(syscall.SIGKILL)
	eventually(t, "none is left", func() bool {
		return findings()["no_backend"].Severity == "critical" || findings()["panic"].Severity == "critical"
	})
}
