package config

import (
	"strings"
	"testing"
	"time"
)

func TestSyslog(t *testing.T) {
	t.Parallel()
	f := func(spec string, want SyslogServer, wrong string) {
		t.Helper()
		got, err := Syslog(spec).Parse()
		if wrong != "" {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("unexpected error of %q: %v; want %q", spec, err, wrong)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("unexpected server of %q: %+v, %v; want %+v", spec, got, err, want)
		}
	}
	const local0 = 16
	f("udp://logs", SyslogServer{"udp", "logs:514", local0, "sluice"}, "")
	f("udp:logs:1514", SyslogServer{"udp", "logs:1514", local0, "sluice"}, "")
	f("tcp://10.0.0.1", SyslogServer{"tcp", "10.0.0.1:601", local0, "sluice"}, "")
	f("udp://[::1]", SyslogServer{"udp", "[::1]:514", local0, "sluice"}, "")
	f("udp://::1", SyslogServer{"udp", "[::1]:514", local0, "sluice"}, "")
	f("udp://[::1]:9,facility=LOCAL7,tag=edge", SyslogServer{"udp", "[::1]:9", 23, "edge"}, "")
	f("unix:/dev/log", SyslogServer{"unix", "/dev/log", local0, "sluice"}, "")
	f("unix:///dev/log,facility=daemon", SyslogServer{"unix", "/dev/log", 3, "sluice"}, "")
	f("unixgram:///dev/log", SyslogServer{"unix", "/dev/log", local0, "sluice"}, "")
	for _, spec := range []string{"udp://", "udp://h:x", "udp://h:0", "udp://h:70000", "tcp://:514"} {
		f(spec, SyslogServer{}, "want a host")
	}
	f("/dev/log", SyslogServer{}, "want udp://")
	f("unix:log", SyslogServer{}, "want the path")
	f("udp://h,facility=x", SyslogServer{}, "unknown facility")
	f("udp://h,level=x", SyslogServer{}, "unknown key")
	f("udp://h,tag="+strings.Repeat("x", 49), SyslogServer{}, "1 to 48")
}

func TestOTLPEndpoint(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"127.0.0.1:4318": "http://127.0.0.1:4318/v1/traces", "localhost": "http://localhost:4318/v1/traces", "http://h": "http://h:4318/v1/traces",
		"https://h/": "https://h/v1/traces", "https://h/otlp/v1/traces": "https://h/otlp/v1/traces", "[::1]:4318": "http://[::1]:4318/v1/traces",
		"h:4317": "", "grpc://h": "", "http://": "", "http://u:p@h": "", "http://h:x": "",
	} {
		c := Config{OTLP: spec}
		if got, err := c.OTLPEndpoint(); got != want || (err == nil) != (want != "") {
			t.Errorf("unexpected endpoint of %q: %q, %v; want %q", spec, got, err, want)
		}
	}
}

func TestMetricsDump(t *testing.T) {
	t.Parallel()
	f := func(spec string, want Dumps, ok bool) {
		t.Helper()
		if got, err := MetricsDump(spec).Parse(); (err == nil) != ok || ok && got != want {
			t.Errorf("unexpected dumps of %q: %+v, %v", spec, got, err)
		}
	}
	f("/d", Dumps{"/d", 10 * time.Second, 1000, 256 << 20}, true)
	f("/d,1m", Dumps{"/d", time.Minute, 1000, 256 << 20}, true)
	f(`/a\,b,interval=1s,keep=5,max-size=1m`, Dumps{"/a,b", time.Second, 5, 1 << 20}, true)
	for _, spec := range []string{"", ",1s", "/d,", "/d,x", "/d,1ms", "/d,keep=0", "/d,keep=1,5s", "/d,max-size=0", "/d,every=1s"} {
		f(spec, Dumps{}, false)
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Percent{"0": 0, "0.5": 0.5, "5%": 5, "100": 100, "-1": -1, "101": -1, "x": -1, "NaN": -1, "": -1} {
		if got, err := ParsePercent(s); (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("unexpected percent of %q: %v, %v", s, got, err)
		}
	}
}
