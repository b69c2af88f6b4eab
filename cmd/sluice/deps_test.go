package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// edge forbids packages below from to import packages below to.
type edge struct{ from, to, reason string }

// forbidden holds the import rules; "" in from means every package, and
// unless names what is exempt.
var forbidden = []struct {
	edge
	unless []string
}{
	{edge{"sluice/l4", "sluice/l7", "the two fronts share pkg, not each other"}, nil},
	{edge{"sluice/l7", "sluice/l4", "the two fronts share pkg, not each other"}, nil},
	{edge{"sluice/pkg", "sluice/l4", "what is below knows nothing of what is above"}, nil},
	{edge{"sluice/pkg", "sluice/l7", "what is below knows nothing of what is above"}, nil},
	{edge{"sluice/pkg", "sluice/discovery", "membership is pushed into the pool"}, nil},
	{edge{"sluice/l4", "sluice/pkg/health", "the data path reads what the pool offers and judges nobody"}, nil},
	{edge{"sluice/l7", "sluice/pkg/health", "the data path reads what the pool offers and judges nobody"}, nil},
	{edge{"sluice/pkg", "sluice/engine", "what is below knows nothing of what is above"}, nil},
	{edge{"sluice/l4", "sluice/engine", "the engine makes the fronts, which do not know who made them"}, nil},
	{edge{"sluice/l7", "sluice/engine", "the engine makes the fronts, which do not know who made them"}, nil},
	{edge{"sluice/engine/desired", "sluice/engine", "what is to be knows nothing of what runs"}, []string{"sluice/engine/desired"}},
	{edge{"sluice/engine/desired", "sluice/l4", "what is to be knows nothing of what runs"}, nil},
	{edge{"sluice/engine/desired", "sluice/pkg/health", "what is to be knows nothing of what runs"}, nil},
	{edge{"sluice/engine/desired", "sluice/pkg/listen", "what is to be knows nothing of what runs"}, nil},
	{edge{"sluice/discovery", "sluice/engine", "a source lists members and does not care who wants to know"}, nil},
	{edge{"sluice/discovery", "sluice/l4", "a source lists members and does not care who wants to know"}, nil},
	{edge{"sluice/discovery", "sluice/l7", "a source lists members and does not care who wants to know"}, nil},
	{edge{"sluice/cmd/sluice", "sluice/l4", "the engine wires what runs; a command has flags"}, nil},
	{edge{"sluice/cmd/sluice", "sluice/l7", "the engine wires what runs; a command has flags"}, nil},
	{edge{"sluice/cmd/sluice", "sluice/discovery", "the engine wires what runs; a command has flags"}, nil},
	{edge{"sluice/l4", "sluice/pkg/control", "what an operator changed comes as settings"}, nil},
	{edge{"sluice/l7", "sluice/pkg/control", "what an operator changed comes as settings"}, nil},
	{edge{"sluice/l4", "sluice/pkg/admin", "the data path answers nobody's questions"}, nil},
	{edge{"sluice/l7", "sluice/pkg/admin", "the data path answers nobody's questions"}, nil},
	{edge{"sluice/l4", "sluice/discovery", "the data path does not care where members come from"}, nil},
	{edge{"sluice/l7", "sluice/discovery", "the data path does not care where members come from"}, nil},
	{edge{"sluice/l4", "sluice/pkg/config", "a server is configured by its own Config"}, nil},
	{edge{"sluice/l7", "sluice/pkg/config", "a server is configured by its own Config"}, nil},
	{edge{"sluice/l4", "sluice/pkg/control", "the data path is told what to do, and not by whom"}, nil},
	{edge{"sluice/l7", "sluice/pkg/control", "the data path is told what to do, and not by whom"}, nil},
	{edge{"sluice/pkg/balance", "sluice/pkg/health", "strategies choose among those that the pool offers"}, nil},
	{edge{"sluice/pkg/health", "sluice/pkg/balance", "health does not know who is chosen"}, nil},
	{edge{"sluice/pkg/backend", "sluice/", "a backend is at the bottom"}, []string{"sluice/pkg/backend"}},
	{edge{"sluice/pkg/zone", "sluice/", "it asks the surroundings and knows nothing of what is done with the answer"}, []string{"sluice/pkg/zone"}},
	{edge{"sluice/pkg/chain", "sluice/", "a list knows nobody"}, []string{"sluice/pkg/chain"}},
	{edge{"sluice/l4/epoll", "sluice/l4/copy", "drivers share l4, not each other"}, nil},
	{edge{"sluice/l4/copy", "sluice/l4/epoll", "drivers share l4, not each other"}, nil},
	{edge{"sluice/pkg/tcp", "sluice/", "a connection knows nobody"}, []string{"sluice/pkg/tcp"}},
	{edge{"sluice/pkg/dial", "sluice/", "whom to dial, and how often, is decided elsewhere"}, []string{"sluice/pkg/dial", "sluice/pkg/backend", "sluice/pkg/tcp"}},
	{edge{"sluice/pkg/preface", "sluice/", "what it awaits is its parser's affair"}, []string{"sluice/pkg/preface", "sluice/pkg/reactor"}},
	{edge{"sluice/pkg/attempt", "sluice/", "a plan moves nothing"}, []string{"sluice/pkg/attempt", "sluice/pkg/backend", "sluice/pkg/balance", "sluice/pkg/limit"}},
	{edge{"sluice/pkg/pump", "sluice/", "what moves bytes knows no policy"}, []string{"sluice/pkg/pump", "sluice/pkg/reactor"}},
	{edge{"sluice/pkg/accesslog", "sluice/", "a record is made of plain values"}, []string{"sluice/pkg/accesslog"}},
	{edge{"sluice/l7/http1", "sluice/", "a codec takes bytes and gives values"}, []string{"sluice/l7/http1"}},
	{edge{"sluice/l7/gate", "sluice/pkg/reactor", "what decides knows nothing of what moves bytes"}, nil},
	{edge{"sluice/l7/gate", "sluice/pkg/listen", "what decides knows nothing of what moves bytes"}, nil},
	{edge{"sluice/l7/gate", "sluice/l7/", "a gate knows the codec, and whoever sends copies"}, []string{"sluice/l7/gate", "sluice/l7/http1", "sluice/l7/mirror"}},
	{edge{"sluice/l7/mirror", "sluice/l7/", "copies are bytes to it"}, []string{"sluice/l7/mirror", "sluice/l7/http1"}},
	{edge{"sluice/l7/loop", "sluice/l7/", "a driver knows the gate, and no other driver"}, []string{"sluice/l7/loop", "sluice/l7/gate", "sluice/l7/http1", "sluice/l7/h2"}},
	{edge{"sluice/l7/h2", "sluice/", "it speaks a protocol, and decides nothing"}, []string{"sluice/l7/h2", "sluice/l7/http1", "sluice/pkg/reactor"}},
	{edge{"sluice/pkg/logwriter", "sluice/", "lines are bytes to it"}, []string{"sluice/pkg/logwriter"}},
	{edge{"sluice/pkg/limit", "sluice/", "a limit counts and knows nobody"}, []string{"sluice/pkg/limit"}},
	{edge{"", "sluice/cmd", "commands are at the top"}, []string{"sluice/cmd"}},
	{edge{"", "sluice/bench", "the bench is an end in itself"}, []string{"sluice/bench"}},
	{edge{"", "github.com/spf13/pflag", "flags are known in cmd alone"}, []string{"sluice/cmd"}},
	{edge{"sluice/l7/plain", "sluice/l7/", "a driver knows the gate, and no other driver"}, []string{"sluice/l7/gate", "sluice/l7/http1"}},
	{edge{"sluice/l7/fast", "sluice/l7/", "a driver knows the gate, and no other driver"}, []string{"sluice/l7/plain", "sluice/l7/gate", "sluice/l7/http1"}},
	{edge{"", "github.com/valyala/fasthttp", "fasthttp is the affair of one driver"}, []string{"sluice/l7/fast"}},
	{edge{"", "github.com/hashicorp/consul/api", "the catalogue is discovery's affair, the KV store that of control"}, []string{"sluice/discovery/consul", "sluice/pkg/control/fleet"}},
	{edge{"sluice/pkg/copilot", "sluice/", "it is given facts as JSON and knows nobody"}, []string{"sluice/pkg/copilot"}},
	{edge{"", "github.com/openai/openai-go", "language models are the affair of one package"}, []string{"sluice/pkg/copilot"}},
	{edge{"", "github.com/anthropics/anthropic-sdk-go", "language models are the affair of one package"}, []string{"sluice/pkg/copilot"}},
	{edge{"sluice/discovery/fabio", "sluice/discovery/consul", "tags and members in, a table out: it knows no registry"}, nil},
	{edge{"", "github.com/miekg/dns", "one package speaks DNS"}, []string{"sluice/discovery/dns"}},
	{edge{"", "go.opentelemetry.io", "spans are plain values to all but who exports them"}, []string{"sluice/pkg/tracing/otlp"}},
	{edge{"sluice/pkg/tracing", "sluice/", "a span is made of plain values"}, []string{"sluice/pkg/tracing", "sluice/pkg/throttle"}},
	{edge{"sluice/pkg/syslog", "sluice/", "lines are bytes to it"}, []string{"sluice/pkg/syslog"}},
	{edge{"", "expvar", "its import publishes on the default mux"}, nil},
}

// TestDependencies holds every import of the module against the rules.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "sluice/...").Output()
	if err != nil {
		t.Fatalf("cannot list the packages: %v", err)
	}
	below := func(path, prefix string) bool {
		return prefix == "" || path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
	}
	packages := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages++
		for _, i := range p.Imports {
			for _, f := range forbidden {
				if !below(p.ImportPath, f.from) || !below(i, f.to) {
					continue
				}
				exempt := false
				for _, u := range f.unless {
					exempt = exempt || (f.from == "" && below(p.ImportPath, u)) || (f.from != "" && below(i, u))
				}
				if !exempt {
					t.Errorf("%s imports %s: %s", p.ImportPath, i, f.reason)
				}
			}
		}
	}
	if packages < 10 {
		t.Fatalf("unexpected number of packages: %d", packages)
	}
}
