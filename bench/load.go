package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// load sends requests whether or not answers come, at random times as many
// clients that know nothing of each other do (a Poisson process). The same seed
// means the same times.
type load struct {
	url     string
	time    time.Duration
	rate    func(at time.Duration) float64 // requests a second
	timeout time.Duration                  // of a request
	seed    uint64
	dress   func(i int, r *http.Request) // what request i is to have; nil: nothing
}

// reply is what became of a request.
type reply struct {
	number int           // of the request, from 0
	due    time.Duration // since the load began
	took   time.Duration // since it was due, so that a late start counts
	status int           // 0: no answer
	actor  string        // that answered
}

func steady(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

// run returns the replies by the time they were due, when all have come or
// timed out. It ends early with ctx.
func (l load) run(ctx context.Context) []reply {
	transport := &http.Transport{MaxIdleConnsPerHost: 4096, DialContext: (&net.Dialer{Timeout: l.timeout}).DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: l.timeout}
	r := rand.New(rand.NewPCG(l.seed, 17))
	var (
		replies []reply
		mu      sync.Mutex
		wg      sync.WaitGroup
	)
	begun := time.Now()
	due := time.Duration(0)
	for i := 0; ; i++ {
		due += time.Duration(r.ExpFloat64() / l.rate(due) * float64(time.Second))
		if due >= l.time {
			break
		}
		wait(ctx, time.Until(begun.Add(due)))
		if ctx.Err() != nil {
			break
		}
		at := due
		wg.Go(func() {
			one := l.send(ctx, client, i)
			one.number, one.due, one.took = i, at, time.Since(begun)-at
			mu.Lock()
			defer mu.Unlock()
			replies = append(replies, one)
		})
	}
	wg.Wait()
	return replies
}

func (l load) send(ctx context.Context, client *http.Client, i int) reply {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url, nil)
	if err != nil {
		return reply{}
	}
	if l.dress != nil {
		l.dress(i, request)
	}
	response, err := client.Do(request)
	if err != nil {
		return reply{}
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return reply{}
	}
	return reply{status: response.StatusCode, actor: response.Header.Get(nameHeader)}
}
