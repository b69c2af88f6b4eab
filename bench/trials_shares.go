package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"sync"

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

func canary() experiment {
	const clients = 500
	percents := []float64{1, 5, 10, 25, 50}
	return experiment{
		name: "canary", title: "Canary: the share that was asked for, and the same clients each time",
		about: "Routes with canary=next:PERCENT for 1, 5, 10, 25 and 50 percent are each asked by 500 clients, which have an address of their own, twice and by a connection each time. " +
			"Each run has other clients. A client that gets the canary once gets it again.",
		variants: []variant{{"measured", nil}},
		charts: []chartOf{{lineChart{file: "canary.svg", title: "Clients that the canary serves", xLabel: "percent that was asked for", yLabel: "percent measured",
			ticks: []plot.Tick{{Value: 1, Label: "1"}, {Value: 5, Label: "5"}, {Value: 10, Label: "10"}, {Value: 25, Label: "25"}, {Value: 50, Label: "50"}}}, percents}},
		figures: []string{"at 1 %", "at 5 %", "at 10 %", "at 25 %", "at 50 %", "clients that got both"},
		trial: func(ctx context.Context, t trial) (trialResult, error) {
			actors := alike(2, takes(0))
			actors[1].of = "next"
			var args []string
			for _, p := range percents {
				args = append(args, fmt.Sprintf("--route=%s/=web,canary=next:%g", canaryHost(p), p))
			}
			r, err := setUp(ctx, t.family, t.sluice, args, actors)
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
			return trialResult{map[string][]float64{"canary.svg": y}, append(slices.Clone(y), both)}, nil
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
