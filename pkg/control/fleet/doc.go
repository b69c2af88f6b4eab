// Package fleet keeps in Consul's KV what operators change, for all sluices of
// one name, and which of them there are. There is no consensus of its own: one
// key is written by compare-and-set, and followed by blocking queries.
//
//	sluice/NAME/changes    the overlay, as control.Encode writes it
//	sluice/NAME/tasks/ID   a sluice: held by a session, and gone with it
//
// Consul's token needs key:write on sluice/NAME/ and session:write on the
// agent's node.
//
// A write whose answer is lost is looked for before it is called failed. A
// value that is older than one seen before is believed only after a read that
// Consul's leader has confirmed. What becomes of a KV that was wiped or rolled
// back is decided by control.Book.
//
// Sessions of Consul end up to twice their TTL after the last renewal, so a
// sluice that died is listed for up to 20 s; it is shown as silent before, and
// counts for nothing then.
package fleet
