package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

func formatMicros(us float64) string {
	switch {
	case us == 0:
		return ""
	case us < 1000:
		return fmt.Sprintf("%.0f µs", us)
	case us < 10_000:
		return fmt.Sprintf("%.2f ms", us/1e3)
	case us < 1e6:
		return fmt.Sprintf("%.0f ms", us/1e3)
	}
	return fmt.Sprintf("%.2f s", us/1e6)
}

func formatBytes(n float64) string {
	switch {
	case n == 0:
		return ""
	case n < 1<<20 && n > -1<<20:
		return fmt.Sprintf("%.2f kB", n/(1<<10))
	}
	return fmt.Sprintf("%.1f MB", n/(1<<20))
}

func formatCPU(us float64) string {
	switch {
	case us == 0:
		return ""
	case us < 100:
		return fmt.Sprintf("%.1f", us)
	}
	return fmt.Sprintf("%.0f", us)
}

func formatRatio(s Spread) string {
	if s.N == 0 {
		return ""
	}
	if s.N == 1 {
		return fmt.Sprintf("%.2f", s.Median)
	}
	return fmt.Sprintf("%.2f (%.2f..%.2f)", s.Median, s.Min, s.Max)
}

// bestOf returns who was the best peer, most frequent first where it changed.
func bestOf(r Ratio) string {
	count := make(map[string]int)
	var names []string
	for _, b := range r.Best {
		if count[b] == 0 {
			names = append(names, b)
		}
		count[b]++
	}
	if len(names) == 1 {
		return names[0]
	}
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%s ×%d", n, count[n]))
	}
	return strings.Join(parts, ", ")
}

// headline returns the metrics by which a scenario is judged.
func headline(k kind) []metric {
	switch k {
	case openLoop:
		return []metric{metricCPU, metricP50, metricP99, metricP999}
	case idleConns:
		return []metric{metricIdle}
	}
	return []metric{metricCPU, metricRate, metricP99}
}

func (k metric) title() string {
	return map[metric]string{
		metricCPU: "CPU", metricRate: "requests/s", metricP50: "p50", metricP99: "p99", metricP999: "p99.9",
		metricRSS: "RSS", metricIdle: "memory per connection",
	}[k]
}

func (k metric) format(v float64) string {
	switch k {
	case metricCPU:
		return formatCPU(v) + " µs"
	case metricRate:
		return fmt.Sprintf("%.0f", v)
	case metricRSS, metricIdle:
		return formatBytes(v)
	}
	return formatMicros(v)
}

// summaryRow is a line of the summary: a sluice against the best peer, or
// against the first sluice.
type summaryRow struct {
	scenario, subject, metric, own, best, peer, ratio string
}

func (r *Result) summaryRows() []summaryRow {
	var rows []summaryRow
	first := ""
	for _, p := range r.Proxies {
		if p.Role == roleSubject {
			first = p.Name
			break
		}
	}
	for _, sc := range r.Scenarios {
		for _, k := range headline(sc.Kind) {
			for _, p := range r.Proxies {
				if p.Role != roleSubject {
					continue
				}
				for _, against := range []string{bestPeer, first} {
					x, ok := r.ratio(sc.Name, p.Name, against, k)
					if !ok {
						continue
					}
					row := summaryRow{
						scenario: sc.Name, subject: p.Name, metric: k.title(),
						own: k.format(r.spread(sc.Name, p.Name, k).Median), peer: against, ratio: formatRatio(x.Spread),
					}
					if against == bestPeer {
						row.peer = bestOf(x)
						row.best = k.format(r.bestMedian(x))
					} else {
						row.best = k.format(r.spread(sc.Name, against, k).Median)
					}
					rows = append(rows, row)
				}
			}
		}
	}
	return rows
}

// bestMedian is the median over the rounds of the best peer's figure.
func (r *Result) bestMedian(x Ratio) float64 {
	var values []float64
	i := 0
	for round := 1; i < len(x.Best) && round <= r.Rounds+1; round++ {
		for _, m := range r.Measurements {
			if m.Scenario == x.Scenario && m.Round == round && m.Proxy == x.Best[i] {
				if v, ok := m.value(x.Metric); ok {
					values = append(values, v)
					i++
				}
				break
			}
		}
	}
	return spreadOf(values).Median
}

// printTable writes the result for a terminal.
func (r *Result) printTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\nscenario\tproxy\tµs CPU\treq/s\tp50\tp99\tp99.9\tRSS\tidle conn.\t\n")
	for _, sc := range r.Scenarios {
		for _, p := range r.takers(sc.Name) {
			cells := r.cells(sc, p.Name)
			fmt.Fprintf(t, "%s\t%s\t%s\t\n", sc.Name, p.Name, strings.Join(cells, "\t"))
		}
	}
	rows := r.summaryRows()
	if len(rows) > 0 {
		fmt.Fprintf(t, "\nscenario\tfigure\tsluice\tits\tthe other's\tother\tratio: median (spread)\t\n")
	}
	for _, row := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", row.scenario, row.metric, row.subject, row.own, row.best, row.peer, row.ratio)
	}
	return t.Flush()
}

// cells are the medians of a proxy in a scenario: CPU, rate, p50, p99, p99.9,
// RSS, memory per idle connection.
func (r *Result) cells(sc ScenarioInfo, proxy string) []string {
	cells := make([]string, 0, 7)
	for _, k := range metrics() {
		v := r.spread(sc.Name, proxy, k).Median
		cell := ""
		switch {
		case v == 0:
		case k == metricCPU:
			cell = formatCPU(v)
		default:
			cell = k.format(v)
		}
		cells = append(cells, cell)
	}
	return cells
}

// markdown is the report. charts are the files drawn for it.
func (r *Result) markdown(charts []chartFile) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Bench: %s\n", r.Name)
	p("%s, %d rounds of %s a measurement, took %s. Generated by `%s`; how to read it is in [bench/README.md](../README.md).\n",
		r.Started.Format("2006-01-02 15:04 MST"), r.Rounds, r.Duration, r.Took, r.Command)
	if r.Incomplete != "" {
		p("**Incomplete:** %s\n", firstLine(r.Incomplete))
	}
	for _, m := range r.failures() {
		p("- **Failed measurement:** %s, %s, round %d: %s", m.Scenario, m.Proxy, m.Round, firstLine(m.Failed))
	}
	for _, n := range r.Notes {
		p("- %s", n)
	}
	if len(r.failures())+len(r.Notes) > 0 {
		p("")
	}

	r.markdownMachine(p)
	if rows := r.summaryRows(); len(rows) > 0 {
		p("## Ratios\n")
		p("Each ratio is taken within a round; median and, in brackets, least and greatest of the rounds. Below 1 sluice is better, except for requests/s.\n")
		p("| scenario | figure | sluice | its | the other's | other | ratio |")
		p("|---|---|---|---|---|---|---|")
		for _, row := range rows {
			p("| %s | %s | %s | %s | %s | %s | %s |", row.scenario, row.metric, row.subject, row.own, row.best, row.peer, row.ratio)
		}
		p("")
	}
	if len(charts) > 0 {
		p("## Charts\n")
		for _, c := range charts {
			p("![%s](%s)\n", c.title, c.file)
		}
	}
	r.markdownScenarios(p)
	r.markdownCalls(p)
	r.markdownSetup(p)
	return b.String()
}

func (r *Result) markdownMachine(p func(string, ...any)) {
	m := r.Machine
	virtual := ""
	if m.Hypervisor {
		virtual = ", virtual"
	}
	p("| | |")
	p("|---|---|")
	p("| machine | %s, %d cores%s, %s, %.1f GB |", m.CPU, m.Cores, virtual, m.Arch, float64(m.MemoryMB)/1024)
	p("| kernel | %s; %d open files, local ports %s, load average %s at the start |", m.Kernel, m.OpenFiles, m.PortRange, m.Load)
	p("| Go | %s |", m.Go)
	p("| sluice | commit %s |", m.Commit)
	for _, x := range r.Proxies {
		if x.Role != roleDirect {
			p("| %s | %s; %s |", x.Name, x.Version, x.Note)
		}
	}
	p("| backend | %s |", r.Backend)
	if m.Wrk != "" {
		p("| wrk | %s, -t1 |", m.Wrk)
	}
	p("")
}

func (r *Result) markdownScenarios(p func(string, ...any)) {
	first := ""
	for _, x := range r.Proxies {
		if x.Role == roleSubject {
			first = x.Name
			break
		}
	}
	p("## Scenarios\n")
	p("Medians over the rounds; CPU is the proxy's, in µs per request, connection or MB. The last column is %s's figure (CPU, or memory) divided by this proxy's.\n", first)
	for _, sc := range r.Scenarios {
		p("### %s: %s\n", sc.Name, sc.Title)
		if sc.Kind == idleConns {
			p("| proxy | RSS | per connection | %s / it |", first)
			p("|---|---|---|---|")
		} else {
			p("| proxy | µs CPU per %s | requests/s | p50 | p99 | p99.9 | RSS | %s / it |", sc.Unit, first)
			p("|---|---|---|---|---|---|---|---|")
		}
		for _, x := range r.takers(sc.Name) {
			cells := r.cells(sc, x.Name)
			k := metricCPU
			if sc.Kind == idleConns {
				cells, k = cells[5:], metricIdle
			} else {
				cells = cells[:6]
			}
			ratio, _ := r.ratio(sc.Name, first, x.Name, k)
			p("| %s | %s | %s |", x.Name, strings.Join(cells, " | "), formatRatio(ratio.Spread))
		}
		p("")
	}
}

func (r *Result) markdownSetup(p func(string, ...any)) {
	p("## Commands and configurations\n")
	p("As they were with the fewest backends; others have more lines for backends. $DIR is a temporary directory.\n")
	for _, x := range r.Proxies {
		if x.Command == "" {
			continue
		}
		p("<details><summary>%s</summary>\n\n```\n%s\n```", x.Name, x.Command)
		if x.Config != "" {
			p("```\n%s\n```", strings.TrimSpace(x.Config))
		}
		p("</details>\n")
	}
	if r.BackendConfig != "" {
		p("<details><summary>backend</summary>\n\n```\n%s\n```\n</details>", strings.TrimSpace(r.BackendConfig))
	}
}

// shorten leaves out the middle of long runs of listen lines.
func shorten(config string) string {
	var kept []string
	run := 0
	for line := range strings.SplitSeq(config, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "listen 127.") {
			run++
			if run == 3 {
				kept = append(kept, "    …")
			}
			if run >= 3 {
				continue
			}
		} else {
			run = 0
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// took rounds a duration for reports.
func took(d time.Duration) string { return d.Round(time.Second).String() }
