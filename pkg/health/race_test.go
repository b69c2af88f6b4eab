//go:build race

package health_test

// worlds is how many worlds are simulated. With the race detector each takes ten
// times as long; make test runs the others without it.
const worlds = 6
