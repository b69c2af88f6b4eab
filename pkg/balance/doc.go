// Package balance chooses the backend for a connection or a request and takes
// its slot in the same call.
//
// A [Strategy] turns a [backend.Snapshot] into a [Picker]; this happens when
// the eligible backends or their weights change, off the data path.
// [Balancer.Pick] loads the current picker and asks it: no lock and no
// allocation, whatever the number of backends.
//
// The strategies, all honouring weights:
//
//   - round_robin (also weighted_round_robin): nginx's smooth weighted round
//     robin, unrolled into a cycle; picks are one atomic add.
//   - least_conn: the fewest active slots per weight, over all backends.
//   - p2c: two random choices, the one with fewer active slots per weight
//     (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
//     1996); the default.
//   - p2c_ewma: two random choices, as p2c, with a weight that is the less the
//     slower a backend answers than the other one, beyond what noise explains.
//   - adaptive: the same, times 1 + 10 × the rate of errors.
//   - ip_hash (also consistent_hash): a client's address chooses a place on a
//     ring of hashes (Karger et al., 1997; ketama).
//   - maglev: or in Maglev's table (Eisenbud et al., 2016).
//   - random: by weight.
//
// With few requests in flight no comparison of loads gives a light backend its
// part: most of the time that is less than one slot. Those that compare draw
// the slot by lot, in a way that gives each its part however few there are; see
// load.go.
//
// The two that hash bound the load: whoever has 1.25 times its part of all
// active slots is passed over to the next place (Mirrokni et al., 2016). So
// clients stay together as far as that goes, and in a pool with fewer slots
// active than backends, a client's second connection at the same time goes
// elsewhere. How they compare:
//
//	                          ring              maglev
//	shares off by             6 to 9 %          1 % or less
//	keys moved if one of      only its own      and of others', 0.02/N
//	N backends goes                             for N = 10, 0.6/N for 100
//	memory for 10, 1,000      42 KB, 1.8 MB     140 KB, 190 KB
//	plan for 10, 1,000        0.05 ms, 4 ms     1.5 ms, 2.5 ms
//
// The placement depends on the addresses of the eligible backends, and on their
// weights relative to each other, and on
// nothing else: all processes agree on it.
//
// A backend that fails must not look fast, or idle. What backends are compared
// by comes from [backend.Backend.Observe]: a failure never lowers a latency,
// and makes all strategies that compare (least_conn, p2c, p2c_ewma, adaptive)
// pass the backend over by lot, the more often the more failures there were
// without a success (see [backend.Backend.Distrust]). A retry is not choosy.
//
// If the pool prefers the own zone (see [backend.Zonal]), the zone is drawn
// first and the strategy chooses there; retries go elsewhere first. Strategies
// that hash ignore zones, because they are to agree in all of them.
//
// A retry after nothing but failures goes to a later tier (see
// [backend.Snapshot].Reserve) if in the one whose turn it is nobody is left who
// may be well, or if it is the last one there can be.
//
// A backend that is warming up (see [backend.Backend.Warm]) is passed over by
// lot too, by all strategies: those that hash draw the lot from the key, so
// that it takes its keys one after the other and gives none back. No plan
// changes on the way.
package balance
