package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/config"
)

// try runs sluice in this process with a signal already there, so that a good
// configuration starts, drains and ends.
func try(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	stop := make(chan os.Signal, 2)
	stop <- os.Interrupt
	code = run(args, environ, &out, &err, signals{stop: stop})
	return code, out.String(), err.String()
}

// TestWrongStart checks that each mistake ends the start with code 2 and a
// message that names the flag, and that several are told at once.
func TestWrongStart(t *testing.T) {
	t.Parallel()
	f := func(args string, want ...string) {
		t.Helper()
		code, stdout, stderr := try(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" {
			t.Fatalf("unexpected end of %q; got code %d, stdout %q; want code %d:\n%s", args, code, stdout, exitUsage, stderr)
		}
		if n := strings.Count(stderr, "\n"); n != len(want)+1 {
			t.Fatalf("unexpected number of lines for %q; got %d; want %d and a hint:\n%s", args, n, len(want), stderr)
		}
		for _, w := range want {
			if !strings.Contains(stderr, w) {
				t.Fatalf("unexpected message for %q; want one with %q; got\n%s", args, w, stderr)
			}
		}
	}
	f("", "--l4: nothing to listen on; set --l4, --l7 or --demo")
	f("--demo --state /nonexistent/dir/state.json", `--state: there is no directory "/nonexistent/dir"`)
	f("--demo --state /", "--state: \"/\" is not a regular file")
	f("--demo --dry-run --state /nonexistent/dir/state.json", `--state: there is no directory "/nonexistent/dir"`)
	f("--l7 :80,fleet=true,rate=1 --route /=web --backend web=127.0.0.1:1 --admin off", "--l7: \":80\" has fleet=true, but this sluice is in no fleet; set --fleet")
	f("--l7 :80,fleet=true --route /=web --backend web=127.0.0.1:1 --admin off", "--l7: \":80,fleet=true\": fleet=true divides rate=")
	f("--demo --bogus", "unknown flag --bogus")
	f("--demo --bogus value", "unknown flag --bogus")
	f("--demo --l7-idle 5s", "unknown flag --l7-idle; did you mean --l7")
	f("--demo -x", "unknown flag -x")
	f("--demo serve", `unexpected argument "serve"`)
	f("--demo false", `unexpected argument "false"`)
	f("--l4", "flag needs an argument: --l4")
	f("--l4 :80", `--l4: ":80": want ADDR=SERVICE`)
	f("--l4 :0=db", `--l4: service "db" is not known; add --backend db=HOST:PORT, or --consul`)
	f("--l7 :0 --route /=web", `--route: service "web" is not known`)
	f("--l4 :0=db --backend db=nowhere", `--backend: "db=nowhere": address "nowhere" is not HOST:PORT`)
	f("--l4 :0=db --backend db=h:1 --config /nonexistent", `--config: cannot read "/nonexistent": no such file`)
	f("--l4 :0=db --backend db=h:1 --l4-idle-timeout 5", `--l4-idle-timeout: "5": must be a duration like "30s" or "5m"`)
	f("--l4 :0=db --backend db=h:1 --health-rise x", `--health-rise: "x":`)
	f("--demo --backend db=h:1", "--backend: contradicts --demo")
	f("--l4 :0=db --backend db=h:1 --admin 0.0.0.0:0", `--admin: "0.0.0.0:0" can be reached from elsewhere; set --admin-token`)
	// Numbers are decimal, whatever they look like.
	f("--demo --health-rise 0x10", `--health-rise: "0x10": want a whole number`)
	f("--demo --panic-threshold 1_0", `--panic-threshold: "1_0": want a whole number, such as 50 or 50%`)
	f("--demo --panic-threshold 500%", "--panic-threshold: 500 is not a number from 0 to 100")
	f("--demo --health-rise 99999999999999999999", `--health-rise: "99999999999999999999": value out of range`)
	// One port of this machine, however it is written.
	for _, both := range [][2]string{{":7001", "0.0.0.0:7001"}, {":7001", "127.0.0.1:7001"}, {"[::]:7001", "127.0.0.1:07001"}, {"localhost:7001", "127.0.0.1:7001"}, {"[::ffff:127.0.0.1]:7001", "127.0.0.1:7001"}} {
		f("--l4 "+both[0]+"=db --l7 "+both[1]+" --route /=db --backend db=h:1", `--l7: address "`+both[1]+`" is taken by "`+both[0]+`" of --l4 already`)
	}
	f("--l4 :7001=db --backend db=h:1 --admin 127.0.0.1:7001", `--admin: address "127.0.0.1:7001" is taken by ":7001" of --l4 already`)
	f("--demo --health-fal 3", "unknown flag --health-fal; did you mean --health-fall?")
	f("--l4 :0=db --consul http://me:hunter22@127.0.0.1:8500", "--consul: an address has no user and password in it; give them as CONSUL_HTTP_AUTH")
	// Several at once, each on its line.
	f("--bogus --l4 x --drain-delay soon --health-fall 0 --nope=1",
		"unknown flag --bogus", "unknown flag --nope", `--l4: "x"`, `--drain-delay: "soon"`, "--health-fall: 0 is below 1")
}

func TestTokenIsNeverPrinted(t *testing.T) {
	t.Parallel()
	code, _, stderr := try(t, nil, "--demo", "--admin=127.0.0.1:0", "--admin-token=hunter22", "--sticky-secret=hunter22", "--l4-driver=x")
	if code != exitUsage || strings.Contains(stderr, "hunter22") {
		t.Fatalf("unexpected code %d or a secret in\n%s", code, stderr)
	}
	code, _, stderr = try(t, nil, "--l4=127.0.0.1:0=db", "--l7=127.0.0.1:0", "--route=/=db,request-header=set:Authorization: Bearer hunter22", "--backend=db=127.0.0.1:1", "--admin=127.0.0.1:0", "--admin-token=hunter22", "--sticky-secret=hunter22", "--drain-delay=0s")
	if code != exitOK || strings.Contains(stderr, "hunter22") || !strings.Contains(stderr, `"--admin-token":"***"`) {
		t.Fatalf("unexpected code %d or a secret in\n%s", code, stderr)
	}
}

// TestPrecedence checks that the command line wins over the environment and
// both over the file, for single and for repeatable settings.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	content := "l4: [':1=file']\nbackend: ['file=h:1', 'env=h:1', 'arg=h:1']\nhealth-rise: 7\nhealth-fall: 7\ndrain-delay: 7s\nstrategy: random\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(environ []string, args ...string) config.Config {
		t.Helper()
		cmd, err := parseCommand(args, environ)
		if cmd == nil {
			t.Fatal(err)
		}
		return cmd.config
	}
	c := read([]string{"SLUICE_CONFIG=" + file, "SLUICE_HEALTH_FALL=8", "SLUICE_DRAIN_DELAY=8s", "SLUICE_L4=:1=env;:2=env\n:3=env"}, "--drain-delay=9s")
	if c.HealthRise != 7 || c.HealthFall != 8 || c.DrainDelay != 9*time.Second || c.Strategy != "random" || c.DrainTimeout != 20*time.Second {
		t.Fatalf("unexpected configuration: %+v", c)
	}
	if len(c.L4) != 3 || !reflect.DeepEqual(c.L4[2], config.L4{Addr: ":3", Service: "env"}) {
		t.Fatalf("unexpected listeners from the environment: %v", c.L4)
	}
	if c = read([]string{"SLUICE_HEALTH_FALL=010", "SLUICE_PANIC_THRESHOLD=050%"}, "--demo"); c.HealthFall != 10 || c.PanicThreshold != 50 {
		t.Fatalf("unexpected numbers from 010 and 050%%: %d, %d", c.HealthFall, c.PanicThreshold)
	}
	c = read([]string{"SLUICE_CONFIG=" + file, "SLUICE_L4=:1=env"}, "--l4=:1=arg", "--l4=:2=arg")
	if len(c.L4) != 2 || c.L4[0].Service != "arg" || len(c.Backends) != 3 {
		t.Fatalf("unexpected lists: %v, %v", c.L4, c.Backends)
	}
	if _, err := parseCommand([]string{"--demo"}, []string{"SLUICE_HEALTH_RISE=x"}); err == nil || !strings.Contains(err.Error(), `SLUICE_HEALTH_RISE: --health-rise: "x"`) {
		t.Fatalf("unexpected error for a bad variable: %v", err)
	}
	cmd, err := parseCommand([]string{"--demo"}, []string{"SLUICE_NOPE=x", "CONSUL_HTTP_ADDR=c:1", "PATH=/"})
	if err != nil || len(cmd.unknown) != 1 || cmd.unknown[0] != "SLUICE_NOPE" || cmd.config.Consul != "c:1" {
		t.Fatalf("unexpected: %v, %+v", err, cmd)
	}
	cmd, err = parseCommand([]string{"--demo"}, []string{"SLUICE_HEALTH_FAL=7", "SLUICE_PORT=tcp://10.0.0.1:80"})
	if want := []string{"SLUICE_HEALTH_FAL (SLUICE_HEALTH_FALL?)", "SLUICE_PORT"}; err != nil || !slices.Equal(cmd.unknown, want) {
		t.Fatalf("unexpected hints at variables: %v, %q; want %q", err, cmd.unknown, want)
	}
}

// TestSettingsAreShown checks that what a file sets counts as set, and that a
// long list of backends fills neither a line of the log nor a label.
// TestManyBackends gives 20,000 backends one by one: each takes as long as the
// first. When it took as long as there were before, 1,000 took most of a minute.
func TestManyBackends(t *testing.T) {
	t.Parallel()
	const n = 20_000
	args := []string{"--l4", "127.0.0.1:0=web"}
	var environ strings.Builder
	environ.WriteString("SLUICE_BACKEND=")
	for i := range n {
		b := fmt.Sprintf("web=127.%d.%d.%d:80", i>>16, i>>8&255, i&255)
		args = append(args, "--backend", b)
		environ.WriteString(b + ";")
	}
	if code, _, stderr := try(t, nil, append(args, "--dry-run")...); code != 0 {
		t.Errorf("unexpected exit code with arguments; got %d: %.300s", code, stderr)
	}
	if code, _, stderr := try(t, []string{environ.String()}, "--l4", "127.0.0.1:0=web", "--dry-run"); code != 0 {
		t.Errorf("unexpected exit code with the environment; got %d: %.300s", code, stderr)
	}
}

func TestSettingsAreShown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	var b strings.Builder
	b.WriteString("l4: ['127.0.0.1:0=db']\nhealth-fall: 7\nadmin: 127.0.0.1:0\nbackend:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  - db=127.0.0.1:%d\n", 10000+i)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, err := parseCommand([]string{"--config", file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set := metrics.NewSet()
	exposeFlags(cmd, set)
	var out bytes.Buffer
	set.WritePrometheus(&out)
	for _, want := range []string{`name="health-fall",value="7",is_set="true"`, `name="health-rise",value="2",is_set="false"`, `;... and 990 more",is_set="true"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("unexpected metrics; want %s; got\n%s", want, out.String())
		}
	}
	out.Reset()
	logStart(cmd, slog.New(slog.NewJSONHandler(&out, nil)))
	if log := out.String(); !strings.Contains(log, `"--health-fall":"7"`) || len(log) > 2000 {
		t.Errorf("unexpected line of %d bytes: %s", len(log), log)
	}
}

// TestPortTaken checks that what only the run can tell ends with code 1, with
// every address that cannot be bound, and that nothing is left half started.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	addr := taken.Addr().String()
	code, _, stderr := try(t, nil, "--l4", free.Addr().String()+"=db", "--l4", addr+"=db", "--backend", "db=127.0.0.1:1", "--admin=127.0.0.1:0", "--drain-delay=0s")
	if code != exitFailed || !strings.Contains(stderr, `--l4: cannot listen on \"`+addr+`\"`) || strings.Contains(stderr, "listening") {
		t.Fatalf("unexpected end; got code %d; want %d:\n%s", code, exitFailed, stderr)
	}
	again, err := net.Listen("tcp", free.Addr().String())
	if err != nil {
		t.Fatalf("a listener was left behind: %v", err)
	}
	again.Close()
	code, _, stderr = try(t, nil, "--l4", "127.0.0.1:0=db", "--backend", "db=127.0.0.1:1", "--admin", addr, "--drain-delay=0s")
	if code != exitFailed || !strings.Contains(stderr, "--admin: cannot listen on") {
		t.Fatalf("unexpected end; got code %d; want %d:\n%s", code, exitFailed, stderr)
	}
}

// TestRegisterWithTagsAlone registers a process that has no listener yet, for
// tags are to ask for all of them.
func TestRegisterWithTagsAlone(t *testing.T) {
	t.Parallel()
	code, _, stderr := try(t, nil, "--register=lb,port=80", "--consul=127.0.0.1:1", "--consul-tags=urlprefix-", "--admin=off", "--drain-delay=0s")
	if code != exitOK {
		t.Fatalf("unexpected code %d:\n%s", code, stderr)
	}
}
