package main

import (
	"strconv"
	"time"
)

// experiments returns all experiments, in the order of the report. Rates are
// low, so that two cores are enough for clients, sluice and backends together.
func experiments() []experiment {
	return []experiment{unequalBackends(), overload(), outliers(), flapping(), retries(), skewedKeys(), slowStart(), canary()}
}

// alike returns n actors with the same conduct.
func alike(n int, conduct func(time.Duration) conduct) []*actor {
	actors := make([]*actor, n)
	for i := range actors {
		actors[i] = &actor{name: "b" + strconv.Itoa(i+1), conduct: conduct}
	}
	return actors
}

// takes is the conduct of who always takes d.
func takes(d time.Duration) func(time.Duration) conduct {
	return func(time.Duration) conduct { return conduct{takes: d} }
}

const webRoute = "--route=/=web"
