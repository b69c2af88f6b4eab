package consul

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	f := func(err error, want string) {
		t.Helper()
		err = fmt.Errorf("cannot query service %q: %w", "web", &url.Error{Op: "Get", URL: "http://x", Err: err})
		if got := explain(err); !strings.Contains(got, want) {
			t.Fatalf("unexpected explanation of %v; got %q; want one with %q", err, got, want)
		}
	}

	f(api.StatusError{Code: 403, Body: "ACL not found"}, "ACL token")
	f(errHidden, "ACL token")
	f(api.StatusError{Code: 429, Body: "Your IP is issuing too many concurrent connections, please rate limit your calls"}, "--consul-max-conns")
	f(api.StatusError{Code: 429, Body: "rate limit exceeded"}, "request_limits")
	f(api.StatusError{Code: 500, Body: "No path to datacenter"}, "dc=")
	f(api.StatusError{Code: 400, Body: "Client sent an HTTP request to an HTTPS server."}, "https://")
	f(fmt.Errorf("Get: %w", http.ErrSchemeMismatch), "http://")
	f(tls.AlertError(116), "CONSUL_CLIENT_CERT")
	f(&json.SyntaxError{}, "not Consul's HTTP API")
	f(errors.New(`net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15"`), "not Consul's HTTP API")
	f(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, "no route")
	f(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}, "unix_sockets")
	f(api.StatusError{Code: 500, Body: "No cluster leader"}, "leader")
	f(api.StatusError{Code: 404}, "404")
	f(context.DeadlineExceeded, "timeout")
	f(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "connection refused")
	f(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)}, "no such socket")
	f(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "closed")
	f(io.ErrUnexpectedEOF, "closed")
	f(&net.DNSError{Name: "consul.invalid", IsNotFound: true}, "cannot be resolved")
	f(&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, "CONSUL_CACERT")
	f(tls.RecordHeaderError{}, "no TLS")
	f(errors.New("anything else"), "no usable answer")
}
