// Package advice finds what an operator should look at before it hurts. It is
// rules over facts: values in, findings out, the same for the same facts. It
// changes nothing and knows nobody.
//
// Each finding has its evidence, the figures that made the rule fire; the
// consequence if nobody does anything; what to do; and, where one call of the
// control plane does it, that call.
//
//   - facts.go: what is known
//   - finding.go: what is found, and all rules
//   - traffic.go: rules on latency, saturation, retries, limits
//   - members.go: rules on backends, weights, keys, checks
//   - setup.go: rules on the process and what it runs in
//   - trend.go: whether a latency has risen, or is just noisy
package advice
