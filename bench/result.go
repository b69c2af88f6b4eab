package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Result is a run as it is written to NAME.json.
type Result struct {
	Name          string         `json:"name"`
	Started       time.Time      `json:"started"`
	Took          string         `json:"took"`
	Command       string         `json:"command"`
	Rounds        int            `json:"rounds"` // that were finished
	Duration      string         `json:"duration"`
	Rate          int            `json:"rate"` // of the open loop, requests a second
	Incomplete    string         `json:"incomplete,omitempty"`
	Machine       Machine        `json:"machine"`
	Backend       string         `json:"backend"`
	BackendConfig string         `json:"backend_config,omitempty"`
	Proxies       []ProxyInfo    `json:"proxies"`
	Scenarios     []ScenarioInfo `json:"scenarios"`
	Notes         []string       `json:"notes,omitempty"`
	Ratios        []Ratio        `json:"ratios"`
	Measurements  []Measurement  `json:"measurements"`
	Calls         []Calls        `json:"calls,omitempty"`
}

// ProxyInfo is how a proxy was run.
type ProxyInfo struct {
	Name    string `json:"name"`
	Role    role   `json:"role"`
	Version string `json:"version,omitempty"`
	Note    string `json:"note,omitempty"`
	Command string `json:"command,omitempty"`
	Config  string `json:"config,omitempty"`

	backends int // of the scenario that Command and Config are for
}

// ScenarioInfo is what a scenario does.
type ScenarioInfo struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Kind  kind   `json:"kind"`
	Unit  string `json:"unit"` // what CPU is counted by: request, connection or MB
}

// Measurement is one proxy in one scenario in one round. Times are in
// microseconds where the name does not say otherwise. Figures that a scenario
// does not have are 0.
type Measurement struct {
	Scenario        string     `json:"scenario"`
	Proxy           string     `json:"proxy"`
	Round           int        `json:"round"`
	Failed          string     `json:"failed,omitempty"` // why it does not count
	CPUMicros       float64    `json:"cpu_us_per_request,omitempty"`
	RequestRate     float64    `json:"requests_per_second,omitempty"`
	P50             float64    `json:"p50_us,omitempty"`
	P99             float64    `json:"p99_us,omitempty"`
	P999            float64    `json:"p999_us,omitempty"`
	Max             float64    `json:"max_us,omitempty"`
	RSS             int64      `json:"rss_bytes,omitempty"`
	IdleBytes       float64    `json:"bytes_per_idle_connection,omitempty"`
	Requests        int64      `json:"requests"`
	BackendRequests int64      `json:"backend_requests,omitempty"`
	Bytes           int64      `json:"bytes,omitempty"`
	Seconds         float64    `json:"seconds,omitempty"`
	CPUSeconds      float64    `json:"cpu_seconds,omitempty"`
	SendLateP99     float64    `json:"send_late_p99_us,omitempty"` // the generator's own fault
	Errors          loadErrors `json:"errors,omitzero"`
}

// summary is a measurement on half a line.
func (m Measurement) summary() string {
	var parts []string
	if m.P50 == 0 {
		return fmt.Sprintf("%.2f kB a connection, RSS %s", m.IdleBytes/(1<<10), formatBytes(float64(m.RSS)))
	}
	if m.CPUMicros > 0 {
		parts = append(parts, fmt.Sprintf("%6.1f µs CPU", m.CPUMicros))
	}
	if m.RequestRate > 0 {
		parts = append(parts, fmt.Sprintf("%6.0f/s", m.RequestRate))
	}
	parts = append(parts, "p50 "+formatMicros(m.P50), "p99 "+formatMicros(m.P99))
	return strings.Join(parts, "  ")
}

// failures returns the measurements that do not count.
func (r *Result) failures() []Measurement {
	var failed []Measurement
	for _, m := range r.Measurements {
		if m.Failed != "" {
			failed = append(failed, m)
		}
	}
	return failed
}

// spread returns the figure of a proxy in a scenario over the rounds.
func (r *Result) spread(scenario, proxy string, k metric) Spread {
	var values []float64
	for _, m := range r.Measurements {
		if m.Scenario == scenario && m.Proxy == proxy {
			if v, ok := m.value(k); ok {
				values = append(values, v)
			}
		}
	}
	return spreadOf(values)
}

// ratio finds one of the ratios.
func (r *Result) ratio(scenario, subject, against string, k metric) (Ratio, bool) {
	for _, x := range r.Ratios {
		if x.Scenario == scenario && x.Subject == subject && x.Against == against && x.Metric == k {
			return x, true
		}
	}
	return Ratio{}, false
}

// takers returns the proxies that were measured in a scenario.
func (r *Result) takers(scenario string) []ProxyInfo {
	var takers []ProxyInfo
	for _, p := range r.Proxies {
		for _, m := range r.Measurements {
			if m.Scenario == scenario && m.Proxy == p.Name {
				takers = append(takers, p)
				break
			}
		}
	}
	return takers
}

// write writes NAME.json, NAME.md and the charts into dir.
func (r *Result) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the directory %q: %w", dir, err)
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("cannot encode the result %q: %w", r.Name, err)
	}
	if err := writeFile(filepath.Join(dir, r.Name+".json"), append(data, '\n')); err != nil {
		return err
	}
	charts, err := r.drawCharts(dir)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, r.Name+".md"), []byte(r.markdown(charts)))
}

func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return nil
}

// readResult reads a NAME.json.
func readResult(path string) (*Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the result %q: %w", path, err)
	}
	var r Result
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("cannot read the result %q: %w", path, err)
	}
	return &r, nil
}
