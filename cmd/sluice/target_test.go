package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTarget holds flags against ECS, with a task definition and without.
func TestTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	task := write("task.json", `{"containerDefinitions": [{"name": "sluice", "command": ["--l7=:80", "--route=/=web", "--health-addr=:9901"],
		"environment": [{"name": "SLUICE_BACKEND", "value": "web=10.0.0.1:80"}], "portMappings": [{"containerPort": 80}, {"containerPort": 9901}], "stopTimeout": 60}]}`)
	for _, x := range []struct {
		code  int
		wants []string // on standard output, or on standard error if that is empty
		args  []string
	}{
		{exitOK, []string{"warning: there is no healthCheck", "the configuration is good\n"}, []string{"--task-definition=" + task}},
		{exitOK, []string{"the configuration is good\n"}, []string{"--task-definition=" + task, "--drain-timeout=50s"}},
		{exitUsage, []string{"error: --drain-delay 5s and --drain-timeout 55s", "not for ECS: 1 of these"}, []string{"--task-definition=" + task, "--drain-timeout=55s"}},
		{exitUsage, []string{`no port mapping for 81`}, []string{"--task-definition=" + task, "--l7=:81"}},
		{exitUsage, []string{"more than the stopTimeout of 30s"}, []string{"--l7=:80", "--route=/=web", "--backend=web=h:1", "--drain-timeout=25s"}},
		{exitUsage, []string{"--task-definition: open /nonexistent"}, []string{"--task-definition=/nonexistent"}},
		{exitUsage, []string{"which must be JSON"}, []string{"--task-definition=" + write("bad", "family: x")}},
		{exitUsage, []string{`unknown target "nomad"`}, []string{"--target=nomad"}},
	} {
		code, stdout, stderr := try(t, nil, append([]string{"--dry-run", "--target=ecs"}, x.args...)...)
		text := stdout
		if text == "" {
			text = stderr
		}
		for _, want := range x.wants {
			if code != x.code || !strings.Contains(text, want) {
				t.Errorf("unexpected end of %q: %d, %q, %q; want %d, %q", x.args, code, stdout, stderr, x.code, want)
			}
		}
	}
	if code, _, stderr := try(t, nil, "--target=ecs", "--l4=:1=db", "--backend=db=h:1"); code != exitUsage || !strings.Contains(stderr, "of no use without --dry-run") {
		t.Errorf("unexpected end without --dry-run: %d, %q", code, stderr)
	}
}
