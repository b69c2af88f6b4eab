package dashboard

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// writeTime is how long a viewer may take for a frame.
	writeTime = 10 * time.Second
	// longest is for how long a stream lasts; a page comes back at once.
	longest = 10 * time.Minute
)

// Live answers with what a page shows: to who accepts text/event-stream as it
// changes, once a second, and else once.
type Live struct{ hub *hub }

// NewLive returns a Live of source, which is read while somebody looks.
func NewLive(source Source) *Live { return &Live{newHub(source)} }

// ServeHTTP answers with a stream or with all there is.
func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		l.stream(w, r)
		return
	}
	b, _ := l.hub.whole(time.Now())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // a failure is the client's own
}

func (l *Live) stream(w http.ResponseWriter, r *http.Request) {
	if !l.hub.join() {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many pages are open; ask now and again instead", http.StatusServiceUnavailable)
		return
	}
	defer l.hub.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	c := http.NewResponseController(w)
	send := func(frame []byte) bool {
		_ = c.SetWriteDeadline(time.Now().Add(writeTime)) // it is net/http's own connection
		for _, part := range [][]byte{[]byte("data: "), frame, []byte("\n\n")} {
			if _, err := w.Write(part); err != nil {
				return false
			}
		}
		return c.Flush() == nil
	}
	all, n := l.hub.whole(time.Now())
	if !send(all) {
		return
	}
	over := time.NewTimer(longest)
	defer over.Stop()
	for {
		frame, number, more, ok := l.hub.after(n)
		if !ok {
			frame, number = l.hub.whole(time.Now())
		}
		n = number
		if frame != nil {
			if !send(frame) {
				return
			}
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-over.C:
			return
		case <-more:
		}
	}
}
