package admin

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
)

// TestProbes asks as balancers do: HAProxy by OPTIONS in HTTP/1.0, without a
// Host, others by HEAD. All see the status that GET sees, and nothing else may
// be done there.
func TestProbes(t *testing.T) {
	t.Parallel()
	var is atomic.Pointer[Readiness]
	ready := func() Readiness { return *is.Load() }
	h, err := NewHealth("127.0.0.1:0", nil, 0, ready, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, h)
	a := start(t, Config{Ready: ready, Token: "secret"})
	for _, s := range []*Server{a, h} {
		for _, x := range []struct {
			ready             bool
			method, path      string
			want              int
			withBody, without string
		}{
			{true, "OPTIONS", "/readyz", 200, `"ready":`, ""},
			{true, "HEAD", "/readyz", 200, "", `"ready":`},
			{true, "HEAD", "/healthz", 200, "", "ok\n"},
			{true, "OPTIONS", "/healthz", 200, "ok\n", ""},
			{false, "OPTIONS", "/readyz", 503, `"ready":`, ""},
			{false, "HEAD", "/readyz", 503, "", `"ready":`},
			{false, "OPTIONS", "/healthz", 200, "ok\n", ""},
			{true, "POST", "/readyz", 405, "", `"ready":`},
			{true, "DELETE", "/healthz", 405, "", "ok\n"},
		} {
			is.Store(&Readiness{Ready: x.ready})
			for _, request := range []string{"%s %s HTTP/1.0\r\n\r\n", "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"} {
				got := raw(t, s, fmt.Sprintf(request, x.method, x.path))
				_, status, _ := strings.Cut(got, " ")
				if !strings.HasPrefix(status, fmt.Sprint(x.want)) || !strings.Contains(got, x.withBody) || x.without != "" && strings.Contains(got, x.without) {
					t.Errorf("unexpected answer to %s %s, ready %v: %q; want %d", x.method, x.path, x.ready, got, x.want)
				}
			}
		}
	}
}
