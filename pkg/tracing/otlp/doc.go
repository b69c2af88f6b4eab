// Package otlp has spans of requests exported to an OpenTelemetry collector, by the
// official SDK: its TracerProvider, its batches and its OTLP exporter. What carries
// them, as protobuf over HTTP, is a client of our own of a page: the SDK's pulls in
// gRPC, with or without which the program differs by 9 MB.
//
// A collector that is away costs spans, which are counted, and nothing else: nobody
// waits for it but the goroutine that exports.
package otlp
