package notify

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Notifier sends messages to the supervisor. All methods are safe for concurrent
// use, and may be called on nil, which sends nothing. What cannot be sent is
// lost: the supervisor draws its own conclusions.
type Notifier struct {
	addr     *net.UnixAddr
	watchdog time.Duration
}

// FromEnvironment returns the notifier that environ, "KEY=value" each, asks for,
// nil if it asks for none.
func FromEnvironment(environ []string) *Notifier {
	value := func(name string) string {
		for _, kv := range slices.Backward(environ) {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				return v
			}
		}
		return ""
	}
	path := value("NOTIFY_SOCKET")
	if path == "" || path[0] != '/' && path[0] != '@' {
		return nil // other kinds of socket are for virtual machines
	}
	n := &Notifier{addr: &net.UnixAddr{Name: path, Net: "unixgram"}} // Go knows that @ stands for an abstract one
	if usec, err := strconv.ParseInt(value("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		if pid := value("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
			n.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return n
}

// Ready says that the process serves.
func (n *Notifier) Ready(status string) { n.send("READY=1\nSTATUS=" + status) }

// Stopping says that it is about to end, within so much time: systemd waits for
// that although TimeoutStopSec= may be less.
func (n *Notifier) Stopping(status string, within time.Duration) {
	n.send(fmt.Sprintf("STOPPING=1\nEXTEND_TIMEOUT_USEC=%d\nSTATUS=%s", within.Microseconds(), status))
}

// Reloading says that it is about to serve with other settings, or by another
// process; Ready, or MainPID, ends that.
func (n *Notifier) Reloading(status string) {
	n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=%s", monotonic()/time.Microsecond, status))
}

// MainPID says that another process is the one to supervise from now on, and
// that it serves.
func (n *Notifier) MainPID(pid int, status string) {
	n.send(fmt.Sprintf("MAINPID=%d\nREADY=1\nSTATUS=%s", pid, status))
}

// Alive answers the watchdog.
func (n *Notifier) Alive() { n.send("WATCHDOG=1") }

// Watchdog returns how often Alive must be called at least, 0 if never.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

func (n *Notifier) send(message string) {
	if n == nil {
		return
	}
	c, err := net.DialUnix("unixgram", nil, n.addr)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write([]byte(message))
}
