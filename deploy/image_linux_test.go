package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestDockerfileLint has a linter read the Dockerfile (npm's dockerfile-utils,
// which .ci/run installs).
func TestDockerfileLint(t *testing.T) {
	t.Parallel()
	lint, err := filepath.Abs("../bin/npm/node_modules/.bin/dockerfile-utils")
	if err != nil {
		t.Fatal(err)
	}
	found(t, lint)
	output(t, nil, lint, "lint", "Dockerfile")
	bad := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(bad, []byte("FROM scratch\nHEALTHCHEK CMD x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.Command(lint, "lint", bad).Run() == nil {
		t.Error("the linter finds nothing wrong with anything")
	}
}

// instruction is a line of a Dockerfile.
type instruction struct{ word, rest string }

// stages reads a Dockerfile: the instructions of each stage, by its name.
func stages(t *testing.T, text string) map[string][]instruction {
	t.Helper()
	all := make(map[string][]instruction)
	name := ""
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, line := range strings.Split(text, "\n") {
		word, rest, ok := strings.Cut(line, " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if word == "FROM" {
			_, name, _ = strings.Cut(rest, " AS ")
		}
		all[name] = append(all[name], instruction{word, strings.TrimSpace(rest)})
	}
	return all
}

// TestImage makes the root of the image by the Dockerfile's own steps and runs
// what it says in it: nothing else is there, nothing can be written, and it is
// nobody's user.
func TestImage(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root may change the root")
	}
	unshare, chroot := found(t, "unshare"), found(t, "chroot")
	if out, err := exec.Command(unshare, "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("no name spaces: %s", out)
	}
	all := stages(t, read(t, "Dockerfile"))
	out := t.TempDir()
	for _, i := range all["build"] {
		if i.word == "RUN" && strings.Contains(i.rest, "go build") {
			cmd := exec.Command("/bin/sh", "-c", strings.ReplaceAll(i.rest, "/out/", out+"/"))
			cmd.Dir = ".."
			cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH=amd64", "VERSION=v1.2.3")
			cmd.Env = append(cmd.Env, "TARGETARCH="+strings.TrimSpace(output(t, nil, "go", "env", "GOARCH")))
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", i.rest, err, text)
			}
		}
	}
	root := t.TempDir()
	var user, health, entry string
	for _, i := range all["sluice"] {
		switch i.word {
		case "COPY":
			f := strings.Fields(strings.TrimPrefix(i.rest, "--from=build "))
			from := strings.Replace(f[0], "/out/", out+"/", 1)
			to := filepath.Join(root, f[1])
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(from, "certificates") { // of the image that builds
				if err := os.WriteFile(to, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			output(t, nil, "cp", from, to)
		case "USER":
			user = i.rest
		case "HEALTHCHECK":
			_, health, _ = strings.Cut(i.rest, " CMD ")
		case "ENTRYPOINT":
			entry = i.rest
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if user == "" || user == "0" || strings.HasPrefix(user, "0:") || strings.HasPrefix(user, "root") {
		t.Errorf("unexpected user: %q", user)
	}
	words := func(list string) (all []string) {
		for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(list, -1) {
			all = append(all, m[1])
		}
		return all
	}
	const enter = `set -e; mount --bind "$ROOT" "$ROOT"; mount -o remount,ro,bind "$ROOT"; exec "$CHROOT" --userspec="$CREDENTIALS" "$ROOT" "$@"`
	inside := func(environ []string, args ...string) *running {
		environ = append(slices.Clone(environ), "ROOT="+root, "CHROOT="+chroot, "CREDENTIALS="+user, "PATH="+os.Getenv("PATH"))
		return start(t, environ, unshare, append([]string{"--mount", "/bin/sh", "-c", enter, "sh"}, args...)...)
	}
	_, backend := backends(t, 1)
	s := inside(nil, append(words(entry), "--l7=127.0.0.1:0", "--route=/=web", "--backend=web="+backend[0], "--admin=127.0.0.1:0", "--drain-delay=0s")...)
	if status, body := get("http://" + s.addr("l7") + "/x"); status != 200 {
		t.Errorf("unexpected answer: %d: %s", status, body)
	}
	if !strings.Contains(s.text(), `"version":"v1.2.3"`) {
		t.Error("it does not know its version")
	}
	if out, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid)); err != nil || !strings.Contains(string(out), "Uid:\t65532\t65532") {
		t.Errorf("unexpected user of the process: %v: %s", err, out)
	}
	admin := "SLUICE_ADMIN=" + s.addr("admin")
	check := inside([]string{admin}, words(health)...)
	<-check.done
	if code := check.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("unexpected exit code of the health check: %d", code)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.done
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("unexpected exit code: %d", code)
	}
	check = inside([]string{admin}, words(health)...)
	<-check.done
	if code := check.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("unexpected exit code of the health check of one that has ended: %d", code)
	}
	echo := stages(t, read(t, "Dockerfile"))["echo"]
	if !slices.Contains(echo, instruction{"USER", user}) {
		t.Error("the backend runs as another user")
	}
}
