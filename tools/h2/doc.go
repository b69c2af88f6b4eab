// Package h2 holds tests that meet the built program with real programs that
// speak HTTP/2 and gRPC: grpc-go's interop cases, h2spec, curl, h2load, nginx,
// Node and Chromium, each where it is there, and with clients and backends that
// say what no program says. It is a module of its own, so that what they need is
// no requirement of sluice's.
package h2
