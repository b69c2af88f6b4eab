// Package dump writes all metrics to a file now and then, so that they can be
// plotted where no Prometheus was: each file is what /metrics says, in Prometheus'
// text format, and its name says when.
//
//	sluice-20261129T194500.123Z-4711.prom
//
// The time is UTC, and the number that of the process, so that names sort by time.
// A file appears whole, by a rename. The oldest go once there are more than so many,
// or so many bytes, whoever wrote them.
package dump
