package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// filePoll is how often a file is looked at for what others have written.
const filePoll = time.Second

// maxFile is how much of a file is read; more cannot have been written by
// Encode.
const maxFile = 2 * maxEncoded

// file keeps an overlay in a file, over a restart. Each write replaces the file
// at once: whoever reads it, at whatever moment a writer died, has what was
// written before or after.
type file struct {
	path  string
	aside func(broken string, err error)

	mu   sync.Mutex
	kept Overlay
	seen os.FileInfo // of what kept was read from; nil if there was none
}

// OpenFile returns a store in the file at a path, which need not exist but its
// directory must. A file that cannot be read as an overlay is renamed, which
// aside, that must not be nil, is told with the new name and what was wrong;
// one that a newer sluice wrote is left alone, and Load returns ErrNewer.
func OpenFile(path string, aside func(broken string, err error)) (Store, error) {
	f := &file{path: path, aside: aside}
	if err := CheckFile(path); err != nil {
		return nil, err
	}
	// What a writer that was killed has left is of no use to anybody.
	stale, _ := filepath.Glob(f.pattern())
	for _, name := range stale {
		os.Remove(name)
	}
	probe, err := f.temporary()
	if err != nil {
		return nil, fmt.Errorf("nothing can be written beside %q: %w", path, err)
	}
	probe.Close()
	os.Remove(probe.Name())
	return f, nil
}

// CheckFile returns why there can be no store in the file at a path, as far as can
// be told without writing.
func CheckFile(path string) error {
	dir := filepath.Dir(path)
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %q for %q", dir, path)
	case err != nil:
		return fmt.Errorf("the directory of %q cannot be used: %w", path, err)
	case !info.IsDir():
		return fmt.Errorf("%q, where %q is to be, is not a directory", dir, path)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a regular file", path)
	}
	return nil
}

func (f *file) Name() string { return "file " + f.path }

func (f *file) pattern() string {
	return filepath.Join(filepath.Dir(f.path), "."+filepath.Base(f.path)+".new-*")
}

func (f *file) temporary() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.pattern()))
}

func (f *file) Load(context.Context) (Overlay, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.load()
}

// load reads the file; f.mu is held.
func (f *file) load() (Overlay, error) {
	in, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.kept, f.seen = Overlay{}, nil
		return Overlay{}, nil
	}
	if err != nil {
		return Overlay{}, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return Overlay{}, err
	}
	b, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return Overlay{}, fmt.Errorf("cannot read %q: %w", f.path, err)
	}
	o, err := Decode(b)
	if len(b) > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	switch {
	case errors.Is(err, ErrNewer):
		return Overlay{}, fmt.Errorf("%q: %w", f.path, err)
	case err != nil:
		broken := f.path + ".broken-" + time.Now().UTC().Format("20060102T150405.000Z")
		if failed := os.Rename(f.path, broken); failed != nil {
			return Overlay{}, fmt.Errorf("%q is broken (%w) and cannot be moved aside: %w", f.path, err, failed)
		}
		f.aside(broken, err)
		f.kept, f.seen = Overlay{}, nil
		return Overlay{}, nil
	}
	f.kept, f.seen = o, info
	return o, nil
}

// unchanged reports whether the file is the one that was last read or written;
// f.mu is held.
func (f *file) unchanged() bool {
	info, err := os.Stat(f.path)
	if err != nil || f.seen == nil {
		return errors.Is(err, fs.ErrNotExist) && f.seen == nil
	}
	return os.SameFile(info, f.seen) && info.Size() == f.seen.Size() && info.ModTime().Equal(f.seen.ModTime())
}

func (f *file) Swap(_ context.Context, old, next Overlay) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.unchanged() {
		if _, err := f.load(); err != nil {
			return fmt.Errorf("%w: %w", ErrNotKept, err)
		}
	}
	if f.kept.Version != old.Version || f.kept.Lineage != old.Lineage {
		return ErrStale
	}
	b, err := Encode(next)
	if err != nil {
		return err
	}
	info, err := f.replace(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	f.kept, f.seen = next, info
	return nil
}

// replace writes b beside the file, to the disk, and then takes its name.
func (f *file) replace(b []byte) (info os.FileInfo, err error) {
	out, err := f.temporary()
	if err != nil {
		return nil, err
	}
	defer func() {
		out.Close()
		if err != nil {
			os.Remove(out.Name())
		}
	}()
	if _, err = out.Write(b); err != nil {
		return nil, err
	}
	if err = out.Sync(); err != nil {
		return nil, err
	}
	if info, err = out.Stat(); err != nil {
		return nil, err
	}
	if err = os.Rename(out.Name(), f.path); err != nil {
		return nil, err
	}
	// From here on readers have it; whether the disk has the name is known once
	// the directory is written, too.
	if dir, failed := os.Open(filepath.Dir(f.path)); failed == nil {
		_ = dir.Sync() // some systems cannot
		dir.Close()
	}
	return info, nil
}

// Follow looks at the file now and then, for whoever changes it by hand.
func (f *file) Follow(ctx context.Context, tell func(Overlay, error)) {
	tick := time.NewTicker(filePoll)
	defer tick.Stop()
	var trouble bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.mu.Lock()
		if f.unchanged() && !trouble {
			f.mu.Unlock()
			continue
		}
		o, err := f.load()
		f.mu.Unlock()
		if trouble = err != nil; trouble {
			tell(Overlay{}, err)
			continue
		}
		tell(o, nil)
	}
}
