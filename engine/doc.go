// Package engine makes a configuration run: services with their members,
// listeners that lead to them, and the control plane beside them. It is sluice
// without its command line, and can be run without a process of its own.
//
// What is to run is one [desired.State], merged from the configuration, what
// tags in Consul ask for, and what an operator has changed. Whoever changes one
// of these three takes a turn, which makes what runs be as the state says and
// touches nothing that is so already: a service that changes keeps its members
// and their health, a listener hands its socket to the one that takes its place,
// and connections and requests that are open end as they would have.
//
// The files, in the order of the walk, each relying on those after it:
//
//   - engine.go: from New to Close
//   - plane.go, readiness.go, register.go: what others are told of this process
//   - reload.go, watch.go: the configuration, read again
//   - handover.go: the program, replaced
//   - operate.go: what the control plane does with an engine; follow.go: the book
//     of changes, applied; task.go: what the fleet is told
//   - questions.go, explain.go, past.go, limits.go, selftest.go, connections.go: what it is asked
//   - pages.go, facts.go, record.go: the dashboard, what is to be looked at, and
//     what is remembered; copilot.go: what of it a language model is told
//   - tags.go, tagwatch.go: what tags ask for
//   - turn.go, reconcile.go: a turn
//   - fronts.go, front.go, l4config.go, routes.go, l7config.go: listeners, and
//     where they lead
//   - services.go, change.go, service.go, sources.go, checks.go, standing.go,
//     loops.go, own.go, tier.go, zone.go, part.go: services, and who their members are
//   - policy.go, auth.go, certificates.go, tls.go: what both need of settings
//   - process.go, loopgroup.go, descriptors.go, memory.go, processors.go: what
//     concerns the process
package engine
