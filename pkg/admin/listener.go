package admin

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"sluice/pkg/config"
)

// staleWait is how long a socket is tried that may be a dead process's.
const staleWait = time.Second

// listenUnix binds a socket, in place of one that nobody listens on any more.
func listenUnix(a config.UnixAddress, successor bool) (net.Listener, error) {
	if info, err := os.Lstat(a.Path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%q is there already and is not a socket", a.Path)
		}
		if conn, err := net.DialTimeout("unix", a.Path, staleWait); err == nil && !successor {
			conn.Close()
			return nil, fmt.Errorf("another process listens on %q", a.Path)
		} else if err == nil {
			conn.Close()
		}
	}
	// It gets its name once it has its permissions.
	hidden := filepath.Join(filepath.Dir(a.Path), fmt.Sprintf(".sluice-%d", os.Getpid()))
	os.Remove(hidden)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	err = permit(a, hidden)
	if err == nil {
		err = os.Rename(hidden, a.Path)
	}
	if err != nil {
		ln.Close()
		os.Remove(hidden)
		return nil, err
	}
	own, err := os.Lstat(a.Path)
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &unixListener{ln, a.Path, own}, nil
}

// permit sets the permissions of the socket.
func permit(a config.UnixAddress, path string) error {
	if a.Group != "" {
		id, err := strconv.Atoi(a.Group)
		if err != nil {
			g, err := user.LookupGroup(a.Group)
			if err != nil {
				return err
			}
			if id, err = strconv.Atoi(g.Gid); err != nil {
				return err
			}
		}
		if err := os.Chown(path, -1, id); err != nil {
			return err
		}
	}
	return os.Chmod(path, a.Mode)
}

// unixListener removes its socket when it is closed.
type unixListener struct {
	*net.UnixListener
	path string
	own  os.FileInfo // of path, when it was bound
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	if now, gone := os.Lstat(l.path); err == nil && gone == nil && os.SameFile(now, l.own) { // not a successor's
		os.Remove(l.path)
	}
	return err
}
