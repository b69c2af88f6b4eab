// Package balance chooses the backend for a connection or a request and takes
// its slot in the same call.
//
// A [Strategy] turns each new [backend.Snapshot] into an immutable [Picker];
// this happens when membership, weights or health change, off the data path.
// [Balancer.Pick] loads the current picker and asks it: no lock, no
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
//   - random: by weight.
package balance
