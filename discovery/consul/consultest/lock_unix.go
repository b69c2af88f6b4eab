//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package consultest

import (
	"fmt"
	"os"
	"syscall"
)

// lock waits until this process alone holds the lock on the file at path,
// which it creates if need be. The lock ends with unlock or the process.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %q: %w", path, err)
	}
	return func() { f.Close() }, nil
}
