// Package health decides whether a backend is up.
//
// The decision is [Hysteresis], a pure value: a state and one counter of
// results contrary to it. An agreeing result resets the counter, so "three
// failures" means three in a row.
//
//	state    result  counter reaches  new state
//	unknown  pass    1                up
//	unknown  fail    1                down
//	up       fail    fall (3)         down
//	down     pass    rise (2)         up
//
// A backend that flaps has to show more before it is used again: each time it
// goes down while a previous time is not forgotten, which takes a minute or
// two, the rise is four times as high, up to 32, and then the passes have to
// lie further apart. This is the damping of RFC 2439; at its ceiling a recovery
// takes 32 passes an interval apart. Going down is never damped.
//
// The first result decides a backend that is unknown: it has no history that
// a single result could contradict. Until then the backend is used, because
// its source of membership calls it healthy. What the source's word and ours
// come to together is the table of pkg/backend.
//
// The signals are the active check (a TCP connect, a conversation, or an HTTP
// request; none of them is impolite: see TCPCheck and AutoCheck), made at the
// interval, and failed connects of live traffic: those do not count as
// results, they ask for a check at once, so that a single client's bad luck
// decides nothing and a dead backend is out after fall checks a fast interval
// apart. So does a stall: more is asked of a backend, and nothing comes back. A
// check that takes more than a quarter of its timeout gets others beside it, so
// that a backend which does not answer at all is out after little more than one
// timeout, not fall of them. While results contradict the state the fast interval applies; while
// a backend is down and failing, the down interval.
//
// Live traffic is a signal of its own, because a check can pass where requests
// fail. Five connects in a row that failed eject a backend: 30 s the first time,
// longer each time, as in Envoy's outlier detection. Five exchanges in a row that
// it left without a proper answer have the evidence weighed, see
// [backend.Evidence], for a client can bring such failures about: by garbage, by
// a URL that answers 500. They make the backend less likely to be chosen
// (Distrust) and, in layer 4, ask for a check; they eject it if either
//
//   - it fails five networks or more, and most of those that use it, while the
//     other members serve as many and nearly all that use them. A network is one
//     voice: 64 bits of IPv6, 24 of IPv4, an address in private networks, of the
//     client that trusted proxies name. Whoever fails everywhere does not count.
//   - or it serves nobody at all, and 15 requests failed on it, in a row, that
//     other members have served, byte for byte the same. This is for services
//     with few clients, or with many behind one address. Whoever could bring it
//     about is the only one who is not served. A check of our own that asks for
//     an answer and gets it counts more.
//
// A backend that takes TCP connections and gives nobody a byte for a second,
// while clients of two networks or more wait for an answer, is ejected too if
// others give answers and few of them have such clients. It is back as soon as
// it gives anything to anybody.
//
// A TCP connection that lasted a second was served, and what only a limit of
// sluice's own says no to is nobody's fault. Checks that pass end an ejection as
// they end an outage, if they test what failed: that a connect works says
// nothing about the answers. How many may be ejected at a time is
// [backend.Policy]'s business.
//
// With a slow start (Config.SlowStart), a backend that comes back, or joins a
// pool that has been there for longer than that, begins with a tenth of its
// share; not so at the start, when all would be slow. One that was drained and
// is not any more does too; see [backend.Policy] and pkg/balance.
//
// A backend can also say itself how it wants to be used, in a header of the
// response to an HTTP check; see [WordHeader]. That acts at once, without
// hysteresis: it is no symptom.
//
// [Monitor] runs one goroutine a backend, the one writer of that backend's
// condition. The gauge, the log line and the balancer all read the state
// after hysteresis, never a raw result.
package health
