package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/plot"
)

func unequalBackends() experiment {
	ranks := []float64{0.5, 0.75, 0.9, 0.95, 0.99}
	chart := chartOf{lineChart: lineChart{file: "experiments-tail.svg", title: "Latency with three backends of 4 ms and one of 60 ms", xLabel: "percentile", yLabel: "ms"}}
	for i, q := range ranks {
		chart.x = append(chart.x, float64(i))
		chart.ticks = append(chart.ticks, plot.Tick{Value: float64(i), Label: fmt.Sprintf("p%g", 100*q)})
	}
	return experiment{
		name: "tail", title: "Unequal backends: the tail under P2C-EWMA and round robin",
		about: "Three backends take 4 ms for a request and one takes 60 ms, at 250 requests a second. " +
			"Round robin gives the slow one a quarter of all, p2c compares how many each has, p2c_ewma their latency as well.",
		variants: []variant{
			{"round_robin", []string{"--strategy=round_robin", webRoute}},
			{"p2c_ewma", []string{"--strategy=p2c_ewma", webRoute}},
			{"p2c", []string{"--strategy=p2c", webRoute}},
		},
		charts:  []chartOf{chart},
		figures: []string{"p50, ms", "p95, ms", "p99, ms", "share of the slow one, %"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			actors := alike(4, takes(4*time.Millisecond))
			actors[3].conduct = takes(60 * time.Millisecond)
			r, err := t.setUp(ctx, t.variant.args, actors)
			if err != nil {
				return trialResult{}, err
			}
			defer r.tearDown()
			r.begin()
			replies := load{url: r.url, time: 2800 * time.Millisecond, rate: steady(250), timeout: 5 * time.Second, seed: t.seed}.run(ctx)
			replies = after(replies, 500*time.Millisecond) // in which latencies are learned
			slow := 0.0
			for _, p := range replies {
				if p.actor == actors[3].name {
					slow += 100 / float64(len(replies))
				}
			}
			y := make([]float64, len(ranks))
			for i, q := range ranks {
				y[i] = quantile(replies, q)
			}
			return trialResult{map[string][]float64{"experiments-tail.svg": y}, []float64{quantile(replies, 0.5), quantile(replies, 0.95), quantile(replies, 0.99), slow}}, nil
		},
	}
}

func overload() experiment {
	const (
		width   = 250 * time.Millisecond
		bins    = 16
		inTime  = 300 * time.Millisecond
		surge   = time.Second
		surgeTo = 3 * time.Second
	)
	x := middles(bins, width)
	return experiment{
		name: "overload", title: "Overload: an adaptive limit (AIMD) and none",
		about: "Two backends of four workers at 20 ms each can answer 400 requests a second. They are asked 200, from second 1 to 3 twice what they can, 800, and then 200 again. " +
			"Counted as throughput is what is answered within 300 ms, which is when clients are still there; the others are refused at once (503), or wait.",
		variants: []variant{
			{"no limit", []string{webRoute}},
			{"concurrency=adaptive", []string{webRoute, "--service=web,concurrency=adaptive,max-requests=1000"}},
		},
		charts: []chartOf{
			{lineChart{file: "experiments-overload-throughput.svg", title: "Answered within 300 ms", xLabel: "s", yLabel: "requests/s"}, x},
			{lineChart{file: "experiments-overload-latency.svg", title: "p95 of what is answered", xLabel: "s", yLabel: "ms", logarithmic: true}, x},
		},
		figures: []string{"in time while overloaded, 1/s", "p95 while overloaded, ms", "in time in the second after, 1/s"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			actors := alike(2, takes(20*time.Millisecond))
			for _, a := range actors {
				a.slots = make(chan struct{}, 4)
			}
			r, err := t.setUp(ctx, t.variant.args, actors)
			if err != nil {
				return trialResult{}, err
			}
			defer r.tearDown()
			r.begin()
			rate := func(at time.Duration) float64 {
				if within(at, surge, surgeTo) {
					return 800
				}
				return 200
			}
			replies := load{url: r.url, time: bins * width, rate: rate, timeout: 6 * time.Second, seed: t.seed}.run(ctx)
			good := func(part []reply) (n float64) {
				for _, p := range part {
					if p.status == 200 && p.took <= inTime {
						n++
					}
				}
				return n
			}
			var surged, recovered []reply
			for _, p := range replies {
				if within(p.due, surge+500*time.Millisecond, surgeTo) { // it needs a moment to learn
					surged = append(surged, p)
				} else if within(p.due, surgeTo, surgeTo+time.Second) {
					recovered = append(recovered, p)
				}
			}
			return trialResult{
				map[string][]float64{
					"experiments-overload-throughput.svg": binned(replies, bins, width, func(p []reply) float64 { return good(p) / width.Seconds() }),
					"experiments-overload-latency.svg":    binned(replies, bins, width, func(p []reply) float64 { return quantile(p, 0.95) }),
				},
				[]float64{good(surged) / (surgeTo - surge - 500*time.Millisecond).Seconds(), quantile(surged, 0.95), good(recovered)},
			}, nil
		},
	}
}

func slowStart() experiment {
	const (
		width = 250 * time.Millisecond
		bins  = 18
		joins = time.Second
	)
	return experiment{
		name: "slow-start", title: "Slow start: a cold backend joins",
		about: "Two backends of 4 ms serve 200 requests a second in turn (round_robin). At second 1 a third one joins that is cold: two workers, and 4 ms only after it has warmed up, from 120 ms at first, within some seconds. " +
			"Without slow start it gets a third of all at once; with slow-start=3s a tenth of its share at first.",
		variants: []variant{
			{"without", []string{webRoute, "--strategy=round_robin"}},
			{"slow-start=3s", []string{webRoute, "--strategy=round_robin", "--slow-start=3s"}},
		},
		charts:  []chartOf{{lineChart{file: "experiments-slow-start.svg", title: "p95 when a cold backend joins at 1 s", xLabel: "s", yLabel: "ms", logarithmic: true}, middles(bins, width)}},
		figures: []string{"p95 in the second after it joined, ms", "p95 afterwards, ms", "slower than 100 ms, %"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			actors := alike(3, takes(4*time.Millisecond))
			cold := actors[2]
			cold.slots = make(chan struct{}, 2)
			cold.conduct = func(at time.Duration) conduct {
				age := (at - joins).Seconds()
				return conduct{takes: 4*time.Millisecond + time.Duration(116*math.Exp(-age/0.8)*float64(time.Millisecond))}
			}
			args := append([]string{"--health-down-interval=50ms", "--max-ejection=0"}, t.variant.args...)
			r, err := t.setUp(ctx, args, actors, cold)
			if err != nil {
				return trialResult{}, err
			}
			defer r.tearDown()
			r.begin()
			joined := make(chan error, 1)
			timer := time.AfterFunc(joins, func() { joined <- cold.start() })
			defer timer.Stop()
			replies := load{url: r.url, time: bins * width, rate: steady(200), timeout: 6 * time.Second, seed: t.seed}.run(ctx)
			if ctx.Err() == nil {
				if err := <-joined; err != nil {
					return trialResult{}, err
				}
			}
			var first, later []reply
			slow := 0.0
			for _, p := range replies {
				if p.took > 100*time.Millisecond {
					slow += 100 / float64(len(replies))
				}
				if within(p.due, joins+100*time.Millisecond, joins+1100*time.Millisecond) {
					first = append(first, p)
				} else if p.due >= joins+1100*time.Millisecond {
					later = append(later, p)
				}
			}
			return trialResult{
				map[string][]float64{"experiments-slow-start.svg": binned(replies, bins, width, func(p []reply) float64 { return quantile(p, 0.95) })},
				[]float64{quantile(first, 0.95), quantile(later, 0.95), slow},
			}, nil
		},
	}
}
