package dashboard

import (
	"sync"
	"time"
)

const (
	// every is how often what is shown is read.
	every = time.Second
	// maxViewers is how many streams there may be; who comes then asks now and
	// again.
	maxViewers = 32
)

// hub reads once for all who look. All methods are safe for concurrent use.
type hub struct {
	source Source

	// mu protects the fields below.
	mu      sync.Mutex
	viewers int
	stop    chan struct{} // closed when the last viewer leaves
	parts   *parts        // nil while nobody looks
	at      time.Time     // of parts
	number  uint64        // of the latest frame
	frame   []byte        // that made parts of the ones before
	more    chan struct{} // closed with the next frame
}

func newHub(source Source) *hub { return &hub{source: source, more: make(chan struct{})} }

// whole returns all there is, no older than a reading, and the number of the
// frame that it is as of.
func (h *hub) whole(now time.Time) ([]byte, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parts == nil || now.Sub(h.at) >= every {
		h.advance(now)
	}
	return frame(nil, *h.parts, h.at), h.number
}

// advance reads what is and makes a frame of it; h.mu is held.
func (h *hub) advance(now time.Time) {
	since := 0
	if h.parts != nil {
		since = h.parts.next
	}
	next := h.source.read(since)
	if h.parts != nil {
		h.frame = frame(h.parts, next, now)
	}
	h.parts, h.at = &next, now
	h.number++
	close(h.more)
	h.more = make(chan struct{})
}

// join adds a viewer, false if there are too many.
func (h *hub) join() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.viewers == maxViewers {
		return false
	}
	if h.viewers++; h.viewers == 1 {
		h.parts = nil
		h.stop = make(chan struct{})
		go h.run(h.stop)
	}
	return true
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.viewers--; h.viewers == 0 {
		close(h.stop)
		h.parts, h.frame = nil, nil
	}
}

func (h *hub) run(stop chan struct{}) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			h.mu.Lock()
			if h.viewers > 0 && (h.parts == nil || now.Sub(h.at) > every/2) {
				h.advance(now)
			}
			h.mu.Unlock()
		}
	}
}

// after returns the frame that follows number n, if it is the latest; ok is false
// if n is too far behind, so that all is needed. more is closed with the next
// frame; frame is nil if n is the latest.
func (h *hub) after(n uint64) (frame []byte, number uint64, more <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.parts == nil:
		return nil, 0, h.more, false
	case n == h.number:
		return nil, n, h.more, true
	case n+1 == h.number && h.frame != nil:
		return h.frame, h.number, h.more, true
	}
	return nil, h.number, h.more, false
}
