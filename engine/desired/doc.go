// Package desired says how everything is to run: its services, listeners,
// routes, and what concerns the process. A [State] is a pure value, which can
// be compared, printed and told the differences of; nothing here knows what
// runs.
//
// [Merge] makes one of what three sources want:
//
//  1. the configuration, which is flags, environment and file, with what an
//     operator has changed of it at run time,
//  2. the table that tags in Consul ask for, which yields to the configuration
//     where both want the same route or address,
//  3. the operator's orders about single backends, which no configuration can
//     express.
//
// Each part of a state holds everything that it depends on, settings that are
// common to all among them, so that a part that is equal to that of another
// state runs as that one does.
//
// The files, in the order of the walk: state.go, merge.go, service.go,
// listener.go, route.go, tags.go (what of a table cannot be had), operate.go,
// difference.go.
package desired
