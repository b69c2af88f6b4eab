// Package docs holds the manual; its tests hold the manual against itself and
// against what there is. Flags, metrics and examples are held against the program
// in cmd/sluice.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages returns the manual: README, and every page here.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil || len(names) < 15 {
		t.Fatalf("unexpected pages: %d, %v", len(names), err)
	}
	all := make(map[string]string)
	for _, name := range append(names, "../README.md", "../bench/README.md") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(data)
	}
	return all
}

// fences are the blocks of a page that are no text.
var fences = regexp.MustCompile("(?ms)^```.*?^```$")

// anchors returns what links to a page may end in.
func anchors(text string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all[strings.ReplaceAll(name, " ", "-")] = true
	}
	return all
}

// TestLinks follows every link that does not leave the repository, and wants
// every page to be reached from README.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	reached := map[string]bool{}
	links := func(name string) (targets []string) {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(fences.ReplaceAllString(all[name], ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if path != "" {
				target = strings.TrimPrefix(filepath.Join(filepath.Dir(name), path), "../docs/")
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: a link leads nowhere: %s", name, m[1])
				continue
			}
			if text, ok := all[target]; ok {
				if anchor != "" && !anchors(text)[anchor] {
					t.Errorf("%s: a link leads to no section: %s", name, m[1])
				}
				targets = append(targets, target)
			}
		}
		return targets
	}
	for queue := []string{"../README.md"}; len(queue) > 0; queue = queue[1:] {
		if reached[queue[0]] {
			continue
		}
		reached[queue[0]] = true
		queue = append(queue, links(queue[0])...)
	}
	for name := range all {
		if !reached[name] {
			t.Errorf("no link leads to %s", name)
		}
	}
}

// TestCommands wants every line of the blocks that are commands to be of a kind
// that is known, and targets of make to be there; those of sluice itself are
// parsed in cmd/sluice, those of the demo run there.
func TestCommands(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"bin/sluice ", "bin/bench ", "curl http://127.0.0.1:", "docker ", "systemctl ", "#", "- "}
	commands := 0
	for name, text := range pages(t) {
		if strings.Contains(name, "bench") {
			continue
		}
	lines:
		for _, block := range fences.FindAllString(text, -1) {
			if !strings.HasPrefix(block, "```\n") {
				continue // YAML, a diagram
			}
			for _, line := range strings.Split(strings.Trim(block, "`\n"), "\n") {
				commands++
				if rest, ok := strings.CutPrefix(line, "make "); ok {
					target, _, _ := strings.Cut(rest, " ")
					if !regexp.MustCompile(`(?m)^` + target + `:`).Match(makefile) {
						t.Errorf("%s: there is no make %s", name, target)
					}
					continue
				}
				for _, k := range known {
					if strings.HasPrefix(strings.TrimSpace(line), k) {
						continue lines
					}
				}
				t.Errorf("%s: a command of a kind that is not known: %s", name, line)
			}
		}
	}
	if commands < 10 {
		t.Errorf("unexpected number of commands: %d", commands)
	}
}

// TestLengths keeps README a beginning, and the architecture a page that is read.
func TestLengths(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for name, most := range map[string]int{"../README.md": 200, "architecture.md": 150} {
		if n := strings.Count(all[name], "\n"); n == 0 || n > most {
			t.Errorf("%s has %d lines; want at most %d", name, n, most)
		}
	}
}
