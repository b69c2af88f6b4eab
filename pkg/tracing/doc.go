// Package tracing takes what became of sampled requests, a [Span] each, to
// whoever tells a tracer of them ([Sink]), without making those who serve requests
// wait: [Tracer.Add] puts it into a bounded queue, from which one goroutine takes
// it. What the queue has no room for is dropped and counted.
//
// Which requests are sampled is decided by their parents (W3C trace context), and
// for those without one by chance. A request that is not sampled costs its
// identifiers, and nothing here. What OpenTelemetry makes of a Span is in
// pkg/tracing/otlp.
package tracing
