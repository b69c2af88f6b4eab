package ecstask

import (
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

const good = `{"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512", "containerDefinitions": [
	{"name": "agent", "image": "consul:1.22"},
	{"name": "lb", "image": "registry.example/sluice:v1", "command": ["--l7=:80", "--route=/=web"], "stopTimeout": 30, "readonlyRootFilesystem": true,
	 "environment": [{"name": "SLUICE_CONSUL", "value": "127.0.0.1:8500"}], "secrets": [{"name": "SLUICE_ADMIN_TOKEN", "valueFrom": "arn:x"}],
	 "portMappings": [{"containerPort": 80}, {"containerPort": 9901}],
	 "healthCheck": {"command": ["CMD", "/sluice", "healthcheck"]}, "ulimits": [{"name": "nofile", "softLimit": 65536, "hardLimit": 65536}]}]}`

func configuration() config.Config {
	c := config.Default()
	c.L7 = []config.L7{{Addr: ":80"}}
	c.HealthAddr = ":9901"
	return c
}

func check(t *testing.T, c config.Config, task string) (lines []string) {
	t.Helper()
	d, err := Parse([]byte(task))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Check(&c, d) {
		lines = append(lines, f.String())
	}
	return lines
}

func TestCheckGood(t *testing.T) {
	t.Parallel()
	for _, task := range []string{good, `{"taskDefinition": ` + good + `, "tags": []}`} {
		if lines := check(t, configuration(), task); len(lines) > 0 {
			t.Errorf("unexpected findings: %q", lines)
		}
	}
	d, _ := Parse([]byte(good))
	args, environ := d.Sluice().Flags()
	if got := strings.Join(args, " ") + "|" + strings.Join(environ, " "); got != "--l7=:80 --route=/=web|SLUICE_CONSUL=127.0.0.1:8500 SLUICE_ADMIN_TOKEN=secret" {
		t.Errorf("unexpected flags: %s", got)
	}
}

// TestCheck breaks one thing at a time.
func TestCheck(t *testing.T) {
	t.Parallel()
	task := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the task has no %s", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for want, x := range map[string]struct {
		change func(*config.Config)
		task   string
	}{
		"error: --drain-delay 5s and --drain-timeout 20s, and 2s to end, are more than the stopTimeout of 20s": {task: task(`"stopTimeout": 30`, `"stopTimeout": 20`)},
		"and --drain-timeout 1m0s, and 2s to end, are more than the stopTimeout of 30s":                        {func(c *config.Config) { c.DrainTimeout = time.Minute }, task(`"stopTimeout": 30, `, "")},
		"error: stopTimeout is 5m0s":                          {task: task(`"stopTimeout": 30`, `"stopTimeout": 300`)},
		"error: --drain-delay is 0s":                          {func(c *config.Config) { c.DrainDelay = 0 }, good},
		"warning: --l4-idle-timeout is 1h0m0s":                {func(c *config.Config) { c.L4 = []config.L4{{Addr: ":80", Service: "db"}} }, good},
		"error: --l7-idle-timeout is 1m0s":                    {func(c *config.Config) { c.L7IdleTimeout = time.Minute }, good},
		`--l7 ":8080": the container has no port mapping`:     {func(c *config.Config) { c.L7[0].Addr = ":8080" }, good},
		`--health-addr ":9902": the container has no`:         {func(c *config.Config) { c.HealthAddr = ":9902" }, good},
		`--l7 "127.0.0.1:80": nobody outside`:                 {func(c *config.Config) { c.L7[0].Addr = "127.0.0.1:80" }, good},
		`--l7 ":0": a target group needs`:                     {func(c *config.Config) { c.L7[0].Addr = ":0" }, good},
		`--l7 "fd@web": nobody passes sockets`:                {func(c *config.Config) { c.L7[0].Addr = "fd@web" }, good},
		"warning: there is no --health-addr":                  {func(c *config.Config) { c.HealthAddr = "" }, good},
		"error: the container lb is not essential":            {task: task(`"name": "lb",`, `"name": "lb", "essential": false,`)},
		"error: a shell runs the program":                     {task: task(`"command": ["--l7=:80", "--route=/=web"]`, `"entryPoint": ["/bin/sh", "-c"], "command": ["/sluice --l7 :80"]`)},
		"error: the healthCheck asks whether sluice is ready": {task: task(`"healthcheck"]`, `"healthcheck", "--ready"]`)},
		"error: the healthCheck needs a shell":                {task: task(`["CMD", "/sluice", "healthcheck"]`, `["CMD-SHELL", "curl -f localhost"]`)},
		"warning: there is no healthCheck":                    {task: task(`"healthCheck": {"command": ["CMD", "/sluice", "healthcheck"]}, `, "")},
		"warning: there is no ulimit nofile":                  {task: task(`, "ulimits": [{"name": "nofile", "softLimit": 65536, "hardLimit": 65536}]`, "")},
		"warning: the ulimit nofile of 1024 allows":           {task: task(`"softLimit": 65536`, `"softLimit": 1024`)},
		"warning: the memory of 32 MiB":                       {task: task(`"memory": "512"`, `"memory": "32"`)},
		`error: networkMode is "bridge"`:                      {task: task("awsvpc", "bridge")},
		"error: --register without addr=":                     {func(c *config.Config) { c.Registers = []config.Register{{Service: "lb"}} }, strings.Replace(task("awsvpc", "bridge"), "FARGATE", "EC2", 1)},
		"warning: SLUICE_ADMIN_TOKEN is in environment":       {task: task(`{"name": "SLUICE_CONSUL"`, `{"name": "SLUICE_ADMIN_TOKEN", "value": "x"}, {"name": "SLUICE_CONSUL"`)},
		"warning: readonlyRootFilesystem is not set":          {task: task(`"readonlyRootFilesystem": true`, `"readonlyRootFilesystem": false`)},
	} {
		c := configuration()
		if x.change != nil {
			x.change(&c)
		}
		lines := check(t, c, x.task)
		if len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("unexpected findings; got %q; want %q", lines, want)
		}
	}
	for _, bad := range []string{"", "[]", "{}", "family: x"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
