//go:build !race

package health_test

// worlds is how many worlds are simulated.
const worlds = 24
