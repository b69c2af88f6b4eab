package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MetricsDump says where metrics are dumped, as it is written:
// DIR[,TIME][,interval=TIME][,keep=N][,max-size=BYTES].
type MetricsDump string

// Dumps is one that was read.
type Dumps struct {
	Dir      string
	Interval time.Duration
	Keep     int   // files
	MaxSize  int64 // of them together
}

// Parse reads m. Without more, there is a dump each 10 s, and the last 1000 of them
// stay, in 256 MiB.
func (m MetricsDump) Parse() (Dumps, error) {
	d := Dumps{Interval: 10 * time.Second, Keep: 1000, MaxSize: 256 << 20}
	dir, rest, more := cutComma(string(m))
	if d.Dir = dir; dir == "" {
		return d, fmt.Errorf("want DIR[,interval], such as /var/lib/sluice/metrics,10s")
	}
	var err error
	for first := true; more; first = false {
		var option string
		option, rest, more = cutComma(rest)
		key, value, ok := strings.Cut(strings.TrimSpace(option), "=")
		if !ok && first {
			key, value = "interval", key
		}
		switch key {
		case "interval":
			d.Interval, err = time.ParseDuration(value)
			if err != nil || d.Interval < 100*time.Millisecond {
				return d, fmt.Errorf("interval=%q is not a time of 100ms at least", value)
			}
		case "keep":
			if d.Keep, err = strconv.Atoi(value); err != nil || d.Keep < 1 {
				return d, fmt.Errorf("keep=%q is not a number from 1 up", value)
			}
		case "max-size":
			if d.MaxSize, err = size(key, value); err != nil {
				return d, err
			}
		default:
			return d, fmt.Errorf("unknown key %q; known are interval, keep, max-size", key)
		}
	}
	return d, nil
}

// dump checks what is said about dumps.
func (v *validation) dump() {
	if v.c.MetricsDump == "" {
		return
	}
	if _, err := v.c.MetricsDump.Parse(); err != nil {
		v.add("metrics-dump", "%q: %v", string(v.c.MetricsDump), err)
	}
}
