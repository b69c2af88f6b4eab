package main

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"
)

func outliers() experiment {
	const (
		width = 200 * time.Millisecond
		bins  = 26
		from  = time.Second
		to    = 2500 * time.Millisecond
	)
	return experiment{
		name: "outliers", title: "Outliers: a backend that answers 500 for a while",
		about: "One of four backends answers every request with 500 from second 1 to 2.5 and passes its check all the time, at 200 requests a second in turn (round_robin; the default, p2c, passes over who fails, without ejection too). " +
			"With ejection it is out after five failures in a row, for 1 s the first time and 2 s the second; --max-ejection=0 turns it off. Times are from the beginning of the burst until it is out, and from its end until it gets a request again.",
		variants: []variant{
			{"no ejection", []string{webRoute, "--strategy=round_robin", "--max-ejection=0"}},
			{"ejection", []string{webRoute, "--strategy=round_robin", "--ejection-time=1s"}},
		},
		charts:  []chartOf{{lineChart{file: "experiments-outliers.svg", title: "Failed requests, one of four backends failing from 1 s to 2.5 s", xLabel: "s", yLabel: "%"}, middles(bins, width)}},
		figures: []string{"failed requests", "until it is out, ms", "until it is back, ms"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			actors := alike(4, takes(3*time.Millisecond))
			actors[3].conduct = func(at time.Duration) conduct {
				if within(at, from, to) {
					return conduct{takes: 3 * time.Millisecond, status: http.StatusInternalServerError}
				}
				return conduct{takes: 3 * time.Millisecond}
			}
			r, err := t.setUp(ctx, t.variant.args, actors)
			if err != nil {
				return trialResult{}, err
			}
			defer r.tearDown()
			r.begin()
			out := make(chan time.Duration, 1)
			watch, stop := context.WithCancel(ctx)
			defer stop()
			go func() { out <- r.until(watch, "sluice_backend_ejected", `backend="`+actors[3].addr+`"`) }()
			replies := load{url: r.url, time: bins * width, rate: steady(200), timeout: 5 * time.Second, seed: t.seed}.run(ctx)
			stop()
			untilOut, untilBack := math.NaN(), math.NaN()
			if at := <-out; at > 0 {
				untilOut = ms(at - from)
			}
			for _, at := range actors[3].requests() {
				if at >= to {
					untilBack = ms(at - to)
					break
				}
			}
			return trialResult{map[string][]float64{"experiments-outliers.svg": binned(replies, bins, width, percentFailed)}, []float64{float64(failed(replies)), untilOut, untilBack}}, nil
		},
	}
}

func flapping() experiment {
	const (
		width = 250 * time.Millisecond
		bins  = 20
		from  = 500 * time.Millisecond
		to    = 4500 * time.Millisecond
	)
	x := middles(bins, width)
	return experiment{
		name: "flapping", title: "Hysteresis: a backend that is half dead, and one whose checks are unreliable",
		about: "From second 0.5 to 4.5 one of four backends is half dead: it answers seven of ten checks, and of ten requests, with errors, at random. Another one fails one check of ten and serves all requests. They are checked every 50 ms, at 200 requests a second in turn, without ejection. " +
			"With hysteresis a backend is down after three failed checks in a row and up after two that pass; without, each check decides. In both, who has changed often lately must pass more.",
		variants: []variant{
			{"without (rise 1, fall 1)", []string{"--health-rise=1", "--health-fall=1"}},
			{"with (rise 2, fall 3)", nil},
		},
		charts: []chartOf{
			{lineChart{file: "experiments-flapping-failed.svg", title: "Failed requests", xLabel: "s", yLabel: "%"}, x},
			{lineChart{file: "experiments-flapping-up.svg", title: "Backends in use, of four", xLabel: "s", yLabel: ""}, x},
		},
		figures: []string{"failed requests", "transitions of the half dead", "transitions of the other", "the other out, % of the time"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			dice := newDice(t.seed)
			bad := func(at time.Duration) bool { return within(at, from, to) && dice.roll(0.7) }
			actors := alike(4, takes(3*time.Millisecond))
			noisy, dying := actors[2], actors[3]
			noisy.healthy = func(at time.Duration) bool { return !within(at, from, to) || !dice.roll(0.1) }
			dying.healthy = func(at time.Duration) bool { return !bad(at) }
			dying.conduct = func(at time.Duration) conduct {
				if bad(at) {
					return conduct{status: http.StatusInternalServerError}
				}
				return conduct{takes: 3 * time.Millisecond}
			}
			args := append([]string{
				webRoute, "--service=web,check=http:" + healthPath, "--max-ejection=0", "--strategy=round_robin",
				"--health-interval=50ms", "--health-fast-interval=50ms", "--health-down-interval=50ms",
			}, t.variant.args...)
			r, err := t.setUp(ctx, args, actors)
			if err != nil {
				return trialResult{}, err
			}
			defer r.tearDown()
			r.begin()
			watch, stop := context.WithCancel(ctx)
			defer stop()
			watched := make(chan [2][]float64, 1)
			go func() { watched <- r.watchUp(watch, noisy, bins, width) }()
			replies := load{url: r.url, time: bins * width, rate: steady(200), timeout: 5 * time.Second, seed: t.seed}.run(ctx)
			stop()
			up := <-watched
			of := func(a *actor) (n float64) {
				if err == nil {
					n, err = r.transitions(ctx, `backend="`+a.addr+`"`)
				}
				return n - 1 // its first check
			}
			figures := []float64{float64(failed(replies)), of(dying), of(noisy), 100 * (1 - mean(up[1][int(from/width):int(to/width)]))}
			return trialResult{map[string][]float64{"experiments-flapping-failed.svg": binned(replies, bins, width, percentFailed), "experiments-flapping-up.svg": up[0]}, figures}, err
		},
	}
}

func retries() experiment {
	const (
		width = 250 * time.Millisecond
		bins  = 13
		from  = 500 * time.Millisecond
		to    = 3 * time.Second
	)
	budget := func(percent int) []string { return []string{webRoute, "--retry-budget=" + strconv.Itoa(percent)} }
	return experiment{
		name: "retries", title: "Retries under partial failure: amplification with a budget and without",
		about: "All four backends close four of five connections without an answer from second 0.5 to 3, at 400 requests a second; each request may be tried three times. " +
			"Amplification is how many requests the backends get for each of a client. --retry-budget=1000 is as good as none; the default is 20 %, ten a second, and a hundred saved up.",
		variants: []variant{
			{"no budget", budget(1000)},
			{"budget 20 %", budget(20)},
			{"no retries", append(budget(20), "--service=web,retries=0")},
		},
		charts: []chartOf{
			{lineChart{file: "experiments-retries-amplification.svg", title: "Requests at the backends for each of a client", xLabel: "s", yLabel: ""}, middles(bins, width)},
			{lineChart{file: "experiments-retries-failed.svg", title: "Failed requests", xLabel: "s", yLabel: "%"}, middles(bins, width)},
		},
		figures: []string{"amplification while failing", "failed while failing, %", "failed afterwards, %"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			actors := alike(4, nil)
			dice := newDice(t.seed)
			for _, a := range actors {
				a.conduct = func(at time.Duration) conduct {
					return conduct{takes: 2 * time.Millisecond, cut: within(at, from, to) && dice.roll(0.8)}
				}
			}
			r, err := t.setUp(ctx, append([]string{"--max-ejection=0"}, t.variant.args...), actors)
			if err != nil {
				return trialResult{}, err
			}
			defer r.tearDown()
			r.begin()
			replies := load{url: r.url, time: bins * width, rate: steady(400), timeout: 5 * time.Second, seed: t.seed}.run(ctx)
			arrived := make([]float64, bins)
			tries := 0.0
			for _, a := range actors {
				for _, at := range a.requests() {
					if i := int(at / width); i < bins {
						arrived[i]++
					}
					if within(at, from, to) {
						tries++
					}
				}
			}
			sent := binned(replies, bins, width, func(p []reply) float64 { return float64(len(p)) })
			amplified := make([]float64, bins)
			for i := range sent {
				amplified[i] = arrived[i] / sent[i]
			}
			var during, afterwards []reply
			for _, p := range replies {
				if within(p.due, from, to) {
					during = append(during, p)
				} else if p.due >= to+100*time.Millisecond {
					afterwards = append(afterwards, p)
				}
			}
			return trialResult{
				map[string][]float64{"experiments-retries-amplification.svg": amplified, "experiments-retries-failed.svg": binned(replies, bins, width, percentFailed)},
				[]float64{tries / float64(len(during)), percentFailed(during), percentFailed(afterwards)},
			}, nil
		},
	}
}
