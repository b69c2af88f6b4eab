package health

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestGRPCCheck has servers of gRPC say how they are by the standard health
// service.
func TestGRPCCheck(t *testing.T) {
	t.Parallel()
	frame := func(message string) string {
		return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))) + message
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ProtoMajor != 2 || r.Method != "POST" || r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" {
			t.Errorf("unexpected request: %v", r)
		}
		w.Header().Set("Content-Type", "application/grpc")
		status, message := "0", ""
		switch string(body) {
		case frame(""):
			message = frame("\x08\x01")
		case frame("\x0a\x04down"):
			message = frame("\x08\x02")
		case frame("\x0a\x05other"):
			message = frame("\x12\x00")
		case frame("\x0a\x04none"):
			message = frame("")
		default:
			w.Header().Set("Grpc-Status", "5") // trailers alone
			w.Header().Set("Grpc-Message", "unknown service")
			return
		}
		_, _ = io.WriteString(w, message)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	one := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(one.Close)
	for _, x := range []struct {
		spec, addr string
		wrong      string // empty: it passes
		patience   time.Duration
	}{
		{"grpc", s.Listener.Addr().String(), "", 30 * time.Second},
		{"grpc:down", s.Listener.Addr().String(), "NOT_SERVING", 30 * time.Second},
		{"grpc:missing", s.Listener.Addr().String(), "NOT_FOUND", 30 * time.Second},
		{"grpc:none", s.Listener.Addr().String(), "UNKNOWN", 30 * time.Second},
		{"grpc:other", s.Listener.Addr().String(), "no HealthCheckResponse", 30 * time.Second},
		{"grpc", one.Listener.Addr().String(), "Post", 30 * time.Second}, // it may also just hang up
		{"grpc", silent.Addr().String(), "deadline", 100 * time.Millisecond},
	} {
		check, err := ParseCheck(x.spec, Via{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), x.patience)
		r, err := check.Probe(ctx, x.addr)
		cancel()
		if x.wrong == "" && (err != nil || r.Tested != Answer) || x.wrong != "" && (err == nil || !strings.Contains(err.Error(), x.wrong)) {
			t.Errorf("unexpected outcome of %s: %+v, %v; want %q", x.spec, r, err, x.wrong)
		}
	}
	for _, bad := range []string{"grpc status=200", "grpc:" + strings.Repeat("a", 200), "grpcs"} {
		if _, err := ParseCheck(bad, Via{}); err == nil {
			t.Errorf("%q was taken for a check", bad)
		}
	}
}
