package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"

	"sync"
	"time"

	"gonum.org/v1/plot"
)

// sortedShares returns the actors' parts of all requests in percent, the largest
// first.
func sortedShares(actors []*actor) []float64 {
	shares, all := make([]float64, len(actors)), 0.0
	for i, a := range actors {
		shares[i] = float64(len(a.requests()))
		all += shares[i]
	}
	for i := range shares {
		shares[i] *= 100 / all
	}
	slices.Sort(shares)
	slices.Reverse(shares)
	return shares
}

func skewedKeys() experiment {
	const (
		backends = 6
		keys     = 2000
	)
	x := make([]float64, backends)
	for i := range x {
		x[i] = float64(i + 1)
	}
	return experiment{
		name: "hashing", title: "Consistent hashing with skewed keys: with a bound on load and without",
		about: "Requests carry one of 2,000 keys that follow Zipf's law (exponent 1.2: the first key has 22 % of the requests), 400 a second, and go by key to one of six backends of eight workers at 50 ms, which together could take 960 a second. " +
			"With hash-balance=125, the default, a backend that has a quarter more than its part of what is under way, and no fewer than eight, is passed over, and the key's request goes to the next one.",
		variants: []variant{
			{"hash-balance=off", []string{webRoute, "--service=web,strategy=consistent_hash,sticky=header:X-Key,hash-balance=off"}},
			{"hash-balance=125", []string{webRoute, "--service=web,strategy=consistent_hash,sticky=header:X-Key"}},
		},
		charts: []chartOf{
			{lineChart{file: "experiments-hashing-shares.svg", title: "Requests by backend, the busiest first", xLabel: "backend", yLabel: "% of all",
				ticks: []plot.Tick{{Value: 1, Label: "1"}, {Value: 2, Label: "2"}, {Value: 3, Label: "3"}, {Value: 4, Label: "4"}, {Value: 5, Label: "5"}, {Value: 6, Label: "6"}}}, x},
		},
		figures: []string{"share of the busiest, %", "p50, ms", "p99, ms", "keys with more than one backend, %"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			actors := alike(backends, takes(50*time.Millisecond))
			for _, a := range actors {
				a.slots = make(chan struct{}, 8)
			}
			r, err := t.setUp(ctx, append([]string{"--max-ejection=0"}, t.variant.args...), actors)
			if err != nil {
				return trialResult{}, err
			}
			defer r.tearDown()
			r.begin()
			zipf := rand.NewZipf(rand.New(rand.NewPCG(t.seed, 5)), 1.2, 1, keys-1)
			chosen := make([]uint64, 10000)
			for i := range chosen {
				chosen[i] = zipf.Uint64()
			}
			l := load{url: r.url, time: 4 * time.Second, rate: steady(400), timeout: 8 * time.Second, seed: t.seed}
			l.dress = func(i int, q *http.Request) {
				q.Header.Set("X-Key", strconv.FormatUint(chosen[i%len(chosen)]+t.seed*keys, 10))
			}
			replies := l.run(ctx)
			homes := make(map[uint64]map[string]bool)
			for _, p := range replies {
				key := chosen[p.number%len(chosen)]
				if homes[key] == nil {
					homes[key] = make(map[string]bool)
				}
				homes[key][p.actor] = true
			}
			several := 0.0
			for _, h := range homes {
				if len(h) > 1 {
					several += 100 / float64(len(homes))
				}
			}
			shares := sortedShares(actors)
			return trialResult{map[string][]float64{"experiments-hashing-shares.svg": shares}, []float64{shares[0], quantile(replies, 0.5), quantile(replies, 0.99), several}}, nil
		},
	}
}

func canary() experiment {
	const clients = 500
	percents := []float64{1, 5, 10, 25, 50}
	return experiment{
		name: "canary", title: "Canary: the share that was asked for, and the same clients each time",
		about: "Routes with canary=next:PERCENT for 1, 5, 10, 25 and 50 percent are each asked by 500 clients, which have an address of their own, twice and by a connection each time. " +
			"Each run has other clients. A client that gets the canary once gets it again.",
		variants: []variant{{"measured", nil}},
		charts: []chartOf{{lineChart{file: "experiments-canary.svg", title: "Clients that the canary serves", xLabel: "percent that was asked for", yLabel: "percent measured",
			ticks: []plot.Tick{{Value: 1, Label: "1"}, {Value: 5, Label: "5"}, {Value: 10, Label: "10"}, {Value: 25, Label: "25"}, {Value: 50, Label: "50"}}}, percents}},
		figures: []string{"at 1 %", "at 5 %", "at 10 %", "at 25 %", "at 50 %", "clients that got both"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			actors := alike(2, takes(0))
			actors[1].of = "next"
			var args []string
			for _, p := range percents {
				args = append(args, fmt.Sprintf("--route=%s/=web,canary=next:%g", canaryHost(p), p))
			}
			r, err := t.setUp(ctx, args, actors)
			if err != nil {
				return trialResult{}, err
			}
			defer r.tearDown()
			r.begin()
			y, both := make([]float64, len(percents)), 0.0
			for i, p := range percents {
				share, changed, err := askCanary(ctx, r, p, clients, t.seed)
				if err != nil {
					return trialResult{}, err
				}
				y[i] = share
				both += float64(changed)
			}
			return trialResult{map[string][]float64{"experiments-canary.svg": y}, append(slices.Clone(y), both)}, nil
		},
	}
}

func canaryHost(percent float64) string { return fmt.Sprintf("p%g.example", percent) }

// askCanary returns how many of the clients the canary serves, in percent, and
// how many it serves only once.
func askCanary(ctx context.Context, r *rig, percent float64, clients int, seed uint64) (share float64, changed int, err error) {
	const workers = 8
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs []error
	)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < clients; i += workers {
				from := net.IPv4(127, byte(1+seed%250), byte(1+i/250), byte(1+i%250))
				first, err := askOnce(ctx, r.url, canaryHost(percent), from)
				second := first
				if err == nil {
					second, err = askOnce(ctx, r.url, canaryHost(percent), from)
				}
				mu.Lock()
				if first == r.actors[1].name {
					share += 100 / float64(clients)
				}
				if first != second {
					changed++
				}
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return share, changed, errors.Join(errs...)
}

// askOnce returns who answers a request from an address, by a connection of its
// own.
func askOnce(ctx context.Context, url, host string, from net.IP) (string, error) {
	dialer := net.Dialer{Timeout: startTimeout, LocalAddr: &net.TCPAddr{IP: from}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	p := load{url: url, dress: func(_ int, q *http.Request) { q.Host = host }}.send(ctx, &http.Client{Transport: transport, Timeout: startTimeout}, 0)
	if p.status != http.StatusOK || p.actor == "" {
		return "", fmt.Errorf("cannot ask for %s from %s: status %d", host, from, p.status)
	}
	return p.actor, nil
}
