package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"sluice/pkg/config"
)

func TestHelpVersionDryRun(t *testing.T) {
	t.Parallel()
	f := func(args string, want string) {
		t.Helper()
		code, stdout, stderr := try(t, nil, strings.Fields(args)...)
		if code != exitOK || stderr != "" || !strings.Contains(stdout, want) {
			t.Fatalf("unexpected end of %q; got code %d, %q, %q; want %q", args, code, stdout, stderr, want)
		}
	}
	f("--help", "--l4-idle-timeout")
	f("-h", "Exit codes")
	f("--bogus --help", "--l4-idle-timeout")
	f("--version", "sluice "+version)
	f("--version --bogus", "sluice "+version)
	f("--dry-run --l4 :5432=db --backend db=h:1", "the configuration is good")
	if code, stdout, _ := try(t, nil, "--dry-run", "--l4", ":5432=db"); code != exitUsage || stdout != "" {
		t.Fatalf("unexpected end of a bad dry run; got code %d, %q", code, stdout)
	}
}

// TestEveryFlagIsASetting checks that the configuration file can set whatever
// a flag can, under the same name.
func TestEveryFlagIsASetting(t *testing.T) {
	t.Parallel()
	c := config.Default()
	settings, err := c.Settings()
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]bool{"config": true, "watch-config": true, "dry-run": true, "target": true, "task-definition": true, "version": true, "help": true}
	n := 0
	newReader(c).flags.VisitAll(func(f *pflag.Flag) {
		n++
		if _, ok := settings[f.Name]; !ok && !own[f.Name] {
			t.Errorf("flag --%s is no setting of the file", f.Name)
		}
	})
	if want := len(settings) + len(own); n != want {
		t.Errorf("unexpected number of flags; got %d; want %d: a setting has no flag", n, want)
	}
}

// TestHelpHasEveryKey checks that --help says what each key of a repeatable
// flag means, once, and nothing of keys that there are not.
func TestHelpHasEveryKey(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`([a-z0-9-]+)=`)
	heads := map[string][]string{
		"l4": {"addr", "service"}, "l7": {"addr"}, "route": {"host", "path", "service"}, "backend": {"service", "addr"},
		"service": {"service"}, "register": {"service"}, "auth": {"name", "file"},
	}
	newReader(config.Default()).flags.VisitAll(func(f *pflag.Flag) {
		var told []string
		for _, k := range keysOf(f.Name) {
			for _, m := range form.FindAllStringSubmatch(k.form, -1) {
				told = append(told, m[1])
			}
		}
		real := slices.DeleteFunc(config.Keys(f.Name), func(k string) bool { return slices.Contains(heads[f.Name], k) })
		slices.Sort(told)
		slices.Sort(real)
		if !slices.Equal(told, real) {
			t.Errorf("unexpected keys of --%s in the help; got\n%v\nwant\n%v", f.Name, told, real)
		}
	})
	_, help, _ := try(t, nil, "--help")
	seen := make(map[string]bool)
	for _, line := range strings.Split(help, "\n") {
		if line = strings.TrimSpace(line); !strings.Contains(line, "=") || len(line) < 40 {
			continue // neither a key, nor long enough to be no accident
		}
		if seen[line] {
			t.Errorf("the help says twice: %s", line)
		}
		seen[line] = true
	}
}
