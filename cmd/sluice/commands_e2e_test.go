package main

import (
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestManualCommands runs the commands that README and docs show: those that ask the
// demo, at a demo, and those that start sluice, to the point where it would bind what
// they say.
func TestManualCommands(t *testing.T) {
	t.Parallel()
	text := readme(t)
	s := start(t, "sluice", nil, "--demo", "--l7=127.0.0.1:0", "--l4=127.0.0.1:0", "--admin=127.0.0.1:0")
	there := strings.NewReplacer("127.0.0.1:8080", s.addr("l7"), "127.0.0.1:8081", s.addr("l4"), "127.0.0.1:9900", s.addr("admin"))
	asked := 0
	for _, m := range regexp.MustCompile(`(?m)^curl (http://127\.0\.0\.1:\S+)`).FindAllStringSubmatch(text, -1) {
		asked++
		eventually(t, m[0]+" is answered", func() bool { status, _ := get(there.Replace(m[1])); return status == http.StatusOK })
	}
	for _, m := range regexp.MustCompile(`(?m)^bin/sluice (.*)$`).FindAllStringSubmatch(text, -1) {
		asked++
		args := strings.Fields(m[1])
		if !strings.Contains(m[1], "--dry-run") {
			args = append(args, "--dry-run")
		}
		if out, err := exec.Command(built.path("sluice"), args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "the configuration is good") {
			t.Errorf("%s: %v\n%s", m[0], err, out)
		}
	}
	if asked < 10 {
		t.Errorf("unexpected number of commands: %d", asked)
	}
}
