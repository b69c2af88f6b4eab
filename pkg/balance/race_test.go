//go:build race

package balance

// sized returns how much of n a simulation is to do: the race detector makes it
// ten times as slow, and there is nothing for it to find in one goroutine. make
// test runs them whole, too, without it. What they assert allows for chance by n.
func sized(n int) int { return n / 10 }
