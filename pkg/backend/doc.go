// Package backend holds the members of a service: what is known of each
// (Backend) and which of them may take a new connection now (Pool, Snapshot).
//
// Two writers, many readers:
//
//   - discovery owns membership: a source reports a list of [Target] and
//     [Pool.Set] turns it into backends, keeping those it already knows, so
//     that their connections, counters and health survive an update;
//   - health owns condition: [Backend.SetCondition] is called by nobody else;
//   - the data path reads [Snapshot], which never changes once published, and
//     takes and gives back slots with [Backend.Acquire] and [Backend.Release].
//
// [Backend.Eligible] is the one place where the two words meet:
//
//	membership says   own check says   new connections
//	passing           unknown, up      yes, by weight
//	warning           unknown, up      yes, by the weight that came with it
//	critical          any              no
//	maintenance       any              no
//	any               down             no
//	any, weight 0     any              no
//
// "Unknown" is eligible: a member that its source calls healthy is used until
// a check of our own says otherwise, so a start never waits for a check.
// Established connections are never touched by any of this.
//
// Beside that, [Backend.Observe] remembers for some seconds how the latest
// connections or requests went. It makes nobody ineligible; it is what
// pkg/balance compares backends by.
package backend
