package copy

import (
	"time"

	"sluice/l4"
	"sluice/pkg/attempt"
)

// Wake tells the connection that a slot may be free. It is called from any
// goroutine.
func (w *walk) Wake() bool {
	w.woken <- struct{}{} // there is room: it is called once for each wait
	return true
}

// await waits for a slot, until there may be one or left is over, and returns
// what to do then. Meanwhile it takes what the client sends, so that it is noticed
// if it goes away: gone then says so, and reason how.
func (w *walk) await(left time.Duration) (next attempt.Action, reason l4.Reason, gone bool) {
	timeout := time.NewTimer(left)
	defer timeout.Stop()
	ended := make(chan error, 1)
	reading := true
	go func() { ended <- w.readAhead() }()
	stop := func() {
		if reading {
			_ = w.guest.Conn.SetReadDeadline(time.Unix(1, 0))
			err := <-ended // after which nobody else reads
			reason, gone = l4.HasLeft(len(w.read), err)
			_ = w.guest.Conn.SetReadDeadline(time.Time{})
		}
	}
	for {
		select {
		case <-w.woken:
			if stop(); !gone {
				next = w.plan.Woken(w.now())
			}
			return next, reason, gone
		case <-timeout.C:
			stop()
			return w.plan.Overdue(), reason, gone
		case <-w.s.closing.Done():
			stop()
			return attempt.Action{}, l4.Draining, true
		case err := <-ended:
			reading = false
			if reason, gone = l4.HasLeft(len(w.read), err); gone {
				return attempt.Action{}, reason, true
			}
		}
	}
}

// readAhead reads what the client sends, up to l4.MostAhead.
func (w *walk) readAhead() error {
	buf := make([]byte, l4.MostAhead)
	for len(w.read) < l4.MostAhead {
		n, err := w.guest.Conn.Read(buf)
		w.read = append(w.read, buf[:n]...)
		if err != nil {
			return err
		}
	}
	return nil
}
