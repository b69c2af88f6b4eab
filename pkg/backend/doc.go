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
// [Decide] is the one place where the two words meet:
//
//	            own check says
//	source says   up           unknown      unchecked    down
//	passing       route        route        route        avoid
//	warning       route, warned, by the weight that came with it; avoid if down
//	critical      drain        drain        drain        drain
//	maintenance   drain        drain        drain        drain
//	absent        keep         remove       remove       remove
//	unreachable   as it said last
//
// "Unknown" is routed to: a member that its source calls healthy is used until
// a check of our own says otherwise, so a start never waits for a check.
// "Unchecked" is a member of a service without checks. What the registry says
// explicitly, critical or maintenance, holds whatever our own check finds.
//
// "Absent" is what an explicit word is not: the member is in no answer any
// more, but so many left at once that the registry may have lost its memory.
// Whoever watches it lists such members as [Absent] for as long as it wants
// them kept; those whose own check passes then stay in use. A source that
// cannot be reached reports nothing, so that its last word stands.
//
// A member that leaves the list and is back within some minutes, by its address,
// begins with what was known of it; see [Past].
//
// A member of weight 0 gets no new connections, unless it has a spare weight
// (a warning whose weight of 0 nobody chose) and nobody else is left. Established connections are
// never touched by any of this.
//
// Which members a snapshot offers is that, each by itself, less those that are
// ejected, and then [Policy]: never so many ejected that nobody or too few are
// left, and all but drained ones if too few are available (panic), less those
// that refuse connections of checks and clients alike.
//
// Beside that, [Backend.Observe] remembers for some seconds how the latest
// connections or requests went. It makes nobody ineligible; it is what
// pkg/balance compares backends by.
package backend
