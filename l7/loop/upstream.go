package loop

import (
	"errors"

	"sluice/l7/h2"
	"sluice/pkg/reactor"
)

// closeUpstream closes the connection to the backend, if there is one.
func (x *exchange) closeUpstream() {
	if up := x.up; up != nil {
		x.up = nil
		up.close()
	}
}

// resetUpstream is closeUpstream, so that the backend sees it break.
func (x *exchange) resetUpstream() {
	if up := x.up; up != nil {
		x.up = nil
		up.reset()
	}
}

// endVerification ends the wait for credentials to be verified, if there is one.
func (x *exchange) endVerification() {
	if v := x.verifying; v != nil {
		v.x, x.verifying = nil, nil
	}
}

// quiet reports whether an idle connection is alive: its backend has not
// closed it and sent nothing. A byte that nobody asked for would be taken for
// the beginning of the next response.
func (up *upstream) quiet() bool {
	_, err := up.stream.Read(up.sh.probe[:])
	return errors.Is(err, reactor.ErrAgain)
}

// unseen reports whether nothing of the request had come to the backend's system
// when the backend ended its direction: the FIN acknowledges what had. That end
// was no answer to it then, and nobody will read it.
func (up *upstream) unseen() bool {
	s, ok := up.stream.(*reactor.Socket)
	return ok && up.wrote > 0 && s.Unacked() >= up.wrote
}

// unprocessed reports whether the backend has said that it did nothing for the
// request.
func (up *upstream) unprocessed() bool {
	s, ok := up.stream.(*h2.Stream)
	return ok && s.Unprocessed()
}

// reset closes the connection so that the backend sees it break.
func (up *upstream) reset() {
	if up.stream != nil {
		up.stream.Reset()
	}
	up.close()
}

// close closes the connection, or ends the attempt to make one.
func (up *upstream) close() {
	up.x = nil
	up.sh.l.Stop(&up.timer)
	if up.race != nil {
		up.race.Close()
		up.race = nil
	}
	if up.link != nil {
		up.link.left(up)
		return
	}
	if up.stream == nil {
		return
	}
	up.stream.Close()
	up.stream = nil
	up.b.Conns.Open.Add(-1)
	up.sh.upstreams--
}
