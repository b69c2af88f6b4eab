package notify

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNotifier(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := FromEnvironment([]string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=2000000", fmt.Sprintf("WATCHDOG_PID=%d", os.Getpid())})
	if n.Watchdog() != 2*time.Second {
		t.Errorf("unexpected watchdog: %v", n.Watchdog())
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	for _, x := range []struct {
		do   func()
		want string
	}{
		{func() { n.Ready("ready") }, "READY=1\nSTATUS=ready"},
		{func() { n.Reloading("x") }, "RELOADING=1\nMONOTONIC_USEC="},
		{func() { n.MainPID(7, "ready") }, "MAINPID=7\nREADY=1\nSTATUS=ready"},
		{n.Alive, "WATCHDOG=1"},
		{func() { n.Stopping("draining", 25*time.Second) }, "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000\nSTATUS=draining"},
	} {
		x.do()
		buf := make([]byte, 1000)
		got, err := c.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:got]), x.want) {
			t.Errorf("unexpected message; got %q, %v; want %q", buf[:got], err, x.want)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	for _, environ := range [][]string{nil, {"NOTIFY_SOCKET="}, {"NOTIFY_SOCKET=vsock:2:1"}, {"NOTIFY_SOCKET=relative"}} {
		if n := FromEnvironment(environ); n != nil {
			t.Errorf("unexpected notifier of %q", environ)
		}
	}
	if n := FromEnvironment([]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=1000", "WATCHDOG_PID=1"}); n.Watchdog() != 0 {
		t.Errorf("another process's watchdog: %v", n.Watchdog())
	}
	var none *Notifier
	none.Ready("sends nothing")
	if none.Watchdog() != 0 {
		t.Error("unexpected watchdog of none")
	}
	FromEnvironment([]string{"NOTIFY_SOCKET=/nonexistent"}).Ready("is lost")
}
