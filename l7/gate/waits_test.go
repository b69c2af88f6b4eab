package gate

import (
	"testing"
	"time"

	"sluice/pkg/balance"
)

func TestWaitsOrder(t *testing.T) {
	t.Parallel()
	const s = time.Second
	base := (Config{Timeouts: Timeouts{ResponseTimeout: 3 * s}, Bounds: Bounds{Retries: 1}}).WithDefaults()
	with := func(connect, deadline, response, body time.Duration, retries int) Limits {
		return Limits{connect, deadline, response, body, time.Hour, time.Minute, Forever, defaultMinBodyRate, retries, 0, false}
	}
	for _, x := range []struct {
		service, route Waits
		want           Limits
	}{
		{want: with(2*s, 5*s, 3*s, 60*s, 1)},
		{Waits{ResponseTimeout: 9 * s, Retries: -1}, Waits{}, with(2*s, 5*s, 9*s, 60*s, -1)},
		{Waits{ResponseTimeout: 9 * s, Retries: -1}, Waits{ResponseTimeout: -1, Retries: 2}, with(2*s, 5*s, Forever, 60*s, 2)},
		{Waits{ConnectTimeout: 20 * s, BodyTimeout: s}, Waits{BodyTimeout: 2 * s, Retries: 9}, with(20*s, 20*s, 3*s, 2*s, balance.MaxTries-1)},
	} {
		if got := newLimits(&base).with(&x.service).with(&x.route); got != x.want {
			t.Errorf("unexpected limits of %+v and %+v; got %+v; want %+v", x.service, x.route, got, x.want)
		}
	}
	plain := (Config{}).WithDefaults()
	if w := newLimits(&plain); !w.lenient || w.with(&Waits{Retries: 2}).lenient || !w.with(&Waits{BodyTimeout: s}).lenient {
		t.Error("refusals count, or not, whoever says so")
	}
}
