package gate

import "time"

// Reuse says which requests may go over a connection to a backend that has
// served another one and is idle, as HAProxy's http-reuse.
type Reuse uint8

const (
	// ReuseAlways lets any request. What a connection that ends at that moment
	// makes fail is tried again where that is safe.
	ReuseAlways Reuse = iota
	// ReuseSafe lets any but the first one on a client's connection, which gets
	// a new one, so that the failure of one that was idle never meets a client
	// which cannot tell it from its own.
	ReuseSafe
	// ReuseNever lets none: each request gets a connection, which the backend is
	// asked to close behind the response.
	ReuseNever
)

const (
	// defaultKeep is how long an idle connection is kept if nothing else is said.
	// It is below the 5 s after which Node, Apache and others close theirs.
	defaultKeep = 4 * time.Second
)

// MayReuse reports whether a request may be sent on an idle connection. served
// says that its client's connection has served one before.
func (r Reuse) MayReuse(served bool) bool {
	return r == ReuseAlways || r == ReuseSafe && served
}

// MayKeep reports whether a connection may be kept for other requests, to a
// backend that has limit slots, 0 for any number. Where there is one alone, a
// connection that is idle would keep it from everybody else, checks included.
func (r Reuse) MayKeep(limit int64) bool { return r != ReuseNever && limit != 1 }

// IdleRoom returns how many idle connections there may be, of all loops, to a
// backend that has limit slots: one less, so that there is always room for a
// check, or for whoever comes next.
func IdleRoom(limit int64) int64 { return limit - 1 }

// KeepFor returns how long an idle connection is kept if own is what was set,
// and hint what the backend has said in Keep-Alive: timeout=, or http1.NoHint. What
// the backend said is undercut by a second, or half of it if that is less, for
// a request is on its way for a while; Node's agent does so, too.
func KeepFor(own, hint time.Duration) time.Duration {
	if hint < 0 {
		return own
	}
	return min(own, hint-min(time.Second, hint/2))
}

const (
	// leastLifetime is the least age at which the end of an idle connection is
	// taken for a habit of its backend.
	leastLifetime = 100 * time.Millisecond
	// lifetimeMemory is for how long such a habit is remembered. While it is
	// obeyed, it cannot be observed.
	lifetimeMemory = time.Minute
)

// Lifetime is after how long a backend closes connections that are idle, as far
// as it was seen to: not all of them say so. A request that is sent just then
// is lost, and only some can be sent again.
type Lifetime struct {
	seen  time.Duration // the shortest; 0 if none was seen
	until int64         // when it is forgotten, as Now.Mono
}

// Ended is told that the backend has closed a connection that had been idle for
// so long.
func (l *Lifetime) Ended(age time.Duration, now int64) {
	if age < leastLifetime {
		return
	}
	if l.seen == 0 || age < l.seen || now >= l.until {
		l.seen = age
	}
	l.until = now + int64(lifetimeMemory)
}

// Limit returns how long a connection may have been idle at most that is used
// again: a tenth less than what was seen.
func (l *Lifetime) Limit(now int64) time.Duration {
	if l.seen == 0 || now >= l.until {
		return Forever
	}
	return l.seen - l.seen/10
}
