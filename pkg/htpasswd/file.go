package htpasswd

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"
)

// followEvery is how often the file is looked at. A change shows in its content,
// however it came about, and counts when it was read twice.
const followEvery = time.Second

// maxSize bounds a file, in bytes.
const maxSize = 16 << 20

// File is a file of users. All methods are safe for concurrent use.
type File struct {
	path    string
	logger  *slog.Logger
	secret  [32]byte      // makes digests of credentials nobody else's
	workers chan struct{} // one token for each verification at a time

	// mu protects the fields below.
	mu      sync.Mutex
	content string
	users   *users
	right   recent // of credentials
	wrong   recent
	pending map[digest][]func(user string) // who waits for a verification
}

// Open reads the file. Follow keeps it up to date.
func Open(path string, logger *slog.Logger) (*File, error) {
	f := &File{path: path, logger: logger, workers: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), pending: make(map[digest][]func(string))}
	_, _ = rand.Read(f.secret[:]) // never fails
	content, err := f.read()
	if err != nil {
		return nil, err
	}
	u, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	f.content, f.users = content, u
	return f, nil
}

func (f *File) read() (string, error) {
	b, err := os.ReadFile(f.path)
	if err == nil && len(b) > maxSize {
		err = fmt.Errorf("%q has more than %d bytes", f.path, maxSize)
	}
	return string(b), err
}

// Follow looks at the file every second until ctx ends. A file that is missing
// or broken changes nothing, and is told once.
func (f *File) Follow(ctx context.Context) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	var before, told string
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		content, err := f.read()
		if err == nil && content == before {
			err = f.set(content)
		}
		before = content
		switch {
		case err != nil && err.Error() != told:
			told = err.Error()
			f.logger.Error("cannot use a file of users as it is now; keeping the last good one", "file", f.path, "err", err)
		case err == nil:
			told = ""
		}
	}
}

// set makes content that of the file, and forgets what was found before.
func (f *File) set(content string) error {
	f.mu.Lock()
	same := content == f.content
	f.mu.Unlock()
	if same {
		return nil
	}
	u, err := parse(content)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.content, f.users, f.right, f.wrong = content, u, recent{}, recent{}
	f.mu.Unlock()
	f.logger.Info("file of users loaded", "file", f.path, "users", len(u.hashes))
	return nil
}
