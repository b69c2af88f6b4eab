package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ctl runs the command ctl against a control plane in this process.
func ctlAt(addr string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(append([]string{"ctl", "--addr=" + addr}, args...), []string{"HOME=/nonexistent"}, &out, &err, signals{})
	return code, out.String(), err.String()
}

// TestCtl makes every command, in an order in which each finds what it needs, at
// a sluice that is then killed and started again.
func TestCtl(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	state := filepath.Join(t.TempDir(), "state.json")
	args := []string{
		"--l7=127.0.0.1:0", "--l4=127.0.0.1:0=tcp", "--route=/=web", "--route=/api=api", "--admin=127.0.0.1:0", "--state=" + state,
		"--backend=web=" + addrs[0], "--backend=web=" + addrs[1], "--backend=api=" + addrs[2], "--backend=tcp=" + addrs[2],
	}
	s := start(t, "sluice", nil, args...)
	s.addr("l7")
	admin := s.addr("admin")
	for _, c := range []struct {
		args string // separated by spaces; + is one within
		code int
		has  string
	}{
		{"services", 0, "web"},
		{"backends", 0, addrs[2]},
		{"backends web", 0, addrs[1]},
		{"backends nope", 6, "none of that name"},
		{"routes", 0, "/api"},
		{"listeners", 0, "l4"},
		{"connections", 0, "CLIENT"},
		{"outliers", 0, "CAUSE"},
		{"explain x/api/1 --client 10.0.0.1", 0, addrs[2]},
		{"explain --service tcp", 0, "would be picked"},
		{"explain --host x --path y", 2, "does not begin with /"},
		{"drain web " + addrs[0] + " --for 10m --reason deploy --by maria --dry-run", 0, "would be in force"},
		{"changes -o json", 0, `"changes": []`},
		{"drain web " + addrs[0] + " --for 10m --reason deploy --by maria", 0, "until"},
		{"drain " + addrs[0], 0, "changed"},
		{"drain web " + addrs[1], 3, "without any backend"},
		{"drain web " + addrs[1] + " --if-match 0", 4, "meanwhile"},
		{"drain web 127.0.0.1:1", 2, "no such backend"},
		{"drain nope 127.0.0.1:1", 2, "no such service"},
		{"undrain " + addrs[0], 0, "undone"},
		{"drain web/" + addrs[0], 0, "in force"},
		{"undrain web/" + addrs[0], 0, "undone"},
		{"disable server web/" + addrs[0], 2, "drain"},
		{"show stat", 2, "backends"},
		{"add web/127.0.0.1:9", 0, "in force"},
		{"remove web/127.0.0.1:9", 0, "undone"},
		{"weight web " + addrs[0] + " 50%", 0, "0.5x"},
		{"weight web " + addrs[0] + " lots", 2, "neither"},
		{"force " + addrs[0] + " down", 0, "in force"},
		{"force " + addrs[0] + " up", 0, "changed"},
		{"eject " + addrs[0] + " --for 5m", 0, "in force"},
		{"readmit " + addrs[0], 0, "in force"},
		{"reset " + addrs[0] + " all", 0, "in force"},
		{"add web 127.0.0.1:9 --weight 3 --zone z", 0, "weight=3"},
		{"remove web 127.0.0.1:9", 0, "undone"},
		{"add web 0.0.0.0:80", 2, "not the address of a host"},
		{"add web " + s.addr("l7"), 2, "leads to service"},
		{"strategy web maglev", 0, "maglev"},
		{"strategy", 0, "maglev"},
		{"strategy web nope", 2, "least_conn"},
		{"canary web api 10%", 0, "api:10"},
		{"canary", 0, "api"},
		{"canary web off", 0, "undone"},
		{"set web max_requests 100", 0, "100"},
		{"unset web max-requests", 0, "undone"},
		{"set web colour red", 2, "no such thing"},
		{"route add /x=web,strip=/x", 0, "/x"},
		{"route add /y=web,method=GET", 0, "in force"},
		{"route remove /y,method=GET", 0, "undone"},
		{"route add /y=web,header=X-A:b", 0, "in force"},
		{"route remove /y=web,header=X-A:b", 0, "undone"},
		{"listener add l4+localhost:0=tcp", 0, "in force"},
		{"listener remove l4+localhost:0=tcp", 0, "undone"},
		{"route remove /api", 0, "in force"},
		{"route remove /nope", 2, "no such route"},
		{"listener add l7+127.0.0.1:0", 0, "in force"},
		{"log-level debug", 0, "debug"},
		{"log-level", 0, "debug"},
		{"events --kind change --limit 2", 0, "log_level"},
		{"access-log on --sample 5", 0, "access_log_sample"},
		{"access-log maybe", 2, "neither true nor false"},
		{"reload --dry-run", 0, "nothing"},
		{"reload", 0, "nothing"},
		{"selftest", 0, "all"},
		{"advice", 0, "SEVERITY"},
		{"cost", 0, "USD"},
		{"config", 0, "retry-budget"},
		{"fleet", 0, "no fleet"},
		{"fleet --wait", 0, "true"},
		{"end nothing", 6, "no connection"},
		{"completion bash", 0, "complete -F"},
		{"completion zsh", 0, "#compdef"},
		{"completion fish", 2, "neither"},
		{"undo", 2, "--all"},
		{"undo nonsense", 2, "names no change"},
		{"undo service+web+strategy", 0, "undone"},
		{"nope", 2, "unknown command"},
		{"drain", 2, "BACKEND"},
		{"changes --nope", 2, "nope"},
	} {
		words := strings.Fields(c.args)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "+", " ")
		}
		code, out, err := ctlAt(admin, words...)
		if code != c.code || !strings.Contains(out+err, c.has) {
			t.Errorf("unexpected end of ctl %s: %d\n%s%s\nwant %d with %q", c.args, code, out, err, c.code, c.has)
		}
	}
	if code, _, _ := ctlAt("127.0.0.1:1", "services"); code != exitFailed {
		t.Errorf("unexpected end without a sluice: %d", code)
	}
	_, before, _ := ctlAt(admin, "changes", "-o", "json")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.done
	again := start(t, "sluice", nil, args...)
	again.addr("l7")
	_, after, _ := ctlAt(again.addr("admin"), "changes", "-o", "json")
	if x, y := idsOf(t, before), idsOf(t, after); !slices.Equal(x, y) || len(x) < 5 {
		t.Fatalf("unexpected changes after a restart; got %v, want %v", y, x)
	}
	if status, _ := get("http://" + again.addr("l7") + "/api/1"); status != http.StatusOK { // by /
		t.Fatalf("unexpected status: %d", status)
	}
	if code, out, err := ctlAt(again.addr("admin"), "undo", "--all"); code != exitOK {
		t.Fatalf("unexpected end of undo: %d, %s%s", code, out, err)
	}
}

func idsOf(t *testing.T, changes string) (ids []string) {
	t.Helper()
	var v struct{ Changes []struct{ ID, Value string } }
	if err := json.Unmarshal([]byte(changes), &v); err != nil {
		t.Fatalf("%v: %s", err, changes)
	}
	for _, c := range v.Changes {
		if !strings.HasSuffix(c.ID, " readmit") && !strings.HasSuffix(c.ID, " reset") {
			ids = append(ids, c.ID+"="+c.Value)
		}
	}
	return ids
}
