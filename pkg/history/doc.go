// Package history remembers the last 15 minutes of each service, and of all
// together, in steps of one second: what a chart shows without a database.
//
// A reading of counters that exist anyway is taken once a second, so that no
// request costs anything more. The files, in the order of the walk:
//
//   - read.go: from the text of metrics to the counts of each service
//   - step.go: from two counts to one step
//   - ring.go: the last steps of one service
//   - store.go: the rings of all services, marks, and what is asked of them
//   - http.go: the same as JSON
//
// A step for which nothing was read, since the process did not run or the
// service was not there yet, is unknown and not zero: it is NaN here, and null
// in JSON.
//
// Beside the steps there are the last [Minutes] whole minutes, for who compares
// now with before.
//
// Memory is bounded: [Steps] steps and [Minutes] minutes of [Metrics] values of
// four bytes, 68 KiB, for each of at most [MaxServices] services and for the
// total, 8.6 MiB in all; a
// service has none of it before its first traffic. [MaxMarks] marks of texts of
// at most [MaxText] bytes add at most a quarter of a MiB.
package history
