package loop

import (
	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/backend"
	"sluice/pkg/listen"
	"sluice/pkg/pump"
	"sluice/pkg/reactor"
)

const (
	// share is how many bytes a direction moves before other connections get
	// their turn.
	share = 4 * reactor.ScratchSize
	// halfScratch is where in the scratch something is read that something
	// else, before it, is made of.
	halfScratch = reactor.ScratchSize / 2
	// readAhead is how many bytes at most are read of a connection whose
	// requests are not served yet. What is beyond stays in the kernel.
	readAhead = 16 << 10
)

// shard is the part of a server that lives in one loop. Nothing of it is
// touched by anybody else.
type shard struct {
	s         *Server
	l         *reactor.Loop
	first     *conn
	visits    *visit
	rescuer   rescuer
	n         int // connections
	upstreams int // connections to backends
	pools     map[*backend.Backend]*idlePool
	links     map[*backend.Backend][]*link // of HTTP/2
	most      map[*backend.Backend]int     // how many requests such a one takes at once
	free      []*exchange
	probe     [1]byte
}

// rescuer looks for what waits for backends that are down. However many fall at
// once, as when a zone fails, it walks over a shard's connections once for all
// that were down when it began, some of them in each turn.
type rescuer struct {
	sh   *shard
	fell map[*backend.Backend]bool // since the walk began, or before there was one
	down map[*backend.Backend]bool // that the walk is about
	at   *conn                     // whom it looks at next; nil if there is no walk
}

// connState is what a client's connection is doing.
type connState uint8

const (
	idling   connState = iota // for the first byte of a request
	reading                   // a request's head
	serving                   // a request: there is an exchange
	throwing                  // our direction has ended; what comes is thrown away
	closed
)

// conn is a client's connection, and the handler of its stream. It belongs to
// the loop that accepted it, until it moves. Between two requests it holds no buffer.
type conn struct {
	sh         *shard
	stream     reactor.Stream
	prev, next *conn
	place      listen.Place
	client     gate.Client
	visit      *visit // of HTTP/2 that it is a part of, or nil

	bound []*upstream // connections to backends that serve nobody else

	x        *exchange // the request that is being served, or nil
	in       []byte    // read and not used: part of a head, or what follows the request being served
	searched int       // how much of a head in in was searched for its end

	timer    reactor.Timer
	deadline int64 // when what is waited for is too late, in the loop's time
	fires    int64 // when timer does, not after deadline
	born     int64 // when it was accepted, in the loops' real time
	since    int64 // when it came to its loop, likewise

	state   connState
	eof     bool // the client has ended its direction
	looping bool // serve is running
	bodied  bool // the request before had a body

	wrote   int64      // bytes of responses
	lingers *lingering // while it throws away
}

// memory says whose the memory is that some bytes are in.
type memory uint8

const (
	lent  memory = iota // the loop's scratch, which is good for this step alone
	owned               // the connection's own
)

// phase is where an exchange is; see the package's documentation for how one
// follows another.
type phase uint8

const (
	receiving  phase = iota // a small body, or nothing: the next phase is entered at once
	verifying               // its credentials are verified elsewhere
	queued                  // it waits for a slot
	connecting              // to a backend
	sending                 // its body goes up
	waiting                 // all of it has, and the response has not begun
	responding              // the response goes down, and maybe the body still up
	tunnelling              // bytes go both ways, until either side ends
	answering               // sluice's own response goes down
)

// exchange is one request and its response. It belongs to the connection that
// it is served on, in that connection's loop.
//
// Functions that may end the exchange report whether it goes on, or say so; after
// that it must not be touched, as it may be serving another request already.
type exchange struct {
	gate.Ticket // what is decided about it

	sh    *shard
	c     *conn
	phase phase

	up        *upstream // the connection to the backend, in use or being made
	connectBy int64     // until when a connection must be there, 0 if none is being made

	verifying *verification // the wait for its credentials, or nil
	queue     *queueing     // the wait for a slot, or nil if there was none
	upload    upload
	download  download
	tunnel    *pump.Pair // once it has switched protocols
	patience  patience
}

// verification is the wait of an exchange for its credentials to be verified.
type verification struct {
	x *exchange // nil once it is over
}

// queueing is the wait of an exchange for a backend with a slot free.
type queueing struct {
	l *reactor.Loop
	x *exchange // nil once that has ended
}

// upload is the request's body on its way to the backend.
type upload struct {
	come   []byte // of it and of what is behind it, while it is unread
	memory memory // that come is in
	unread bool   // it was not begun to be read
	deaf   bool   // the backend takes no more of the request

	small int          // bytes of a small body that are still to come
	first []byte       // what goes out right behind the head: a body, or its beginning
	keeps bool         // what goes out after it is added to it
	data  int          // bytes of the body in first, without framing
	body  http1.Body   // of one that is streamed
	held  pump.Backlog // what the backend does not take yet
}

// download is the response on its way to the client.
type download struct {
	interims int // 1xx responses that have come
	delivery gate.Delivery
	body     http1.Body
	pending  pump.Backlog // what the client does not take yet
	started  bool         // the client was sent a byte of it
	done     bool         // all of it has come
}

// patience is until when somebody is waited for, and how fast the client is
// while it alone is.
type patience struct {
	until int64     // when their time is over, in the loop's time
	way   direction // of the body that the client alone is waited for with
	pace  gate.Pace
}

// direction is which way a body moves that a client is waited for with.
type direction uint8

const (
	neither  direction = iota
	upward             // it sends its request
	downward           // it takes its response
)

// lingering is a connection that is closed after its last response while its
// client goes on sending: what it sends must be taken, or the reset that answers
// it destroys the response. It is taken for as long as the client makes
// progress, within limits of its own.
type lingering struct {
	until int64 // in the loop's time
	taken int64 // bytes
	pace  gate.Pace
}

// upstream is a connection to a backend, and the handler of its socket. It
// belongs to one exchange or is idle.
type upstream struct {
	sh      *shard
	svc     *gate.Service
	b       *backend.Backend
	stream  reactor.Stream // nil during a look-up, a race, or a search for an idle one elsewhere
	race    *reactor.Race  // to the addresses of a name
	x       *exchange      // that uses it; nil while it is idle
	reused  bool           // it has served a request before
	private bool           // somebody has authenticated on it: it is their connection's alone
	wrote   int            // bytes of the request that it serves
	partial []byte         // the beginning of a response head
	link    *link          // that it is a stream of, or waits for; nil if it is a connection of its own

	connecting bool
	begun      int64         // when it began to connect, in the loop's time
	timer      reactor.Timer // of the connect

	// While idle it is in a pool, or bound to its owner.
	owner      *conn
	pool       *idlePool
	prev, next *upstream
	since      int64 // in the loop's time, as the others
	rests      int64 // until when it is not to be taken
	until      int64 // when it is too old
	counted    bool  // among the idle connections of b
}

// idlePool holds the idle connections of a loop to one backend, last in,
// first out.
type idlePool struct {
	sh          *shard
	svc         *gate.Service
	first, last *upstream // the latest, and those that rest
	n           int
	life        gate.Lifetime
	timer       reactor.Timer // of the sweep, set while there are any
	due         int64         // when it fires, in the loop's time
}

// care is how much is done to find out whether an idle connection is alive.
type care uint8

const (
	trusting care = iota // what came since the loop last waited is not known
	certain              // it is looked at once more
)
