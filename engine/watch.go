package engine

import (
	"context"
	"crypto/sha256"
	"os"
	"time"
)

// watchEvery is how often a watched file is looked at. What counts is its content,
// however that came about: by a write, a rename, or a link that leads elsewhere,
// as Kubernetes does it.
const watchEvery = 500 * time.Millisecond

// content is what a file has, and whether it is there.
type content struct {
	digest [sha256.Size]byte
	there  bool
}

func contentOf(path string) content {
	b, err := os.ReadFile(path)
	return content{sha256.Sum256(b), err == nil}
}

// watch calls changed whenever the content of a file has become another one and
// has stayed so from one look to the next, until ctx ends. applied is what it had
// when it was last read.
func watch(ctx context.Context, path string, applied content, every time.Duration, changed func()) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for seen := applied; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := contentOf(path)
		if now == seen && now != applied {
			applied = now
			changed()
		}
		seen = now
	}
}
