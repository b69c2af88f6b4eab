package health

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// GRPCCheck passes if the standard health service of gRPC
// (grpc.health.v1.Health/Check) says that a service is serving; the empty name is
// the whole server. Every probe uses a connection of its own, because that is
// what it checks.
type GRPCCheck struct {
	scheme string
	body   []byte // the message, with its prefix
	client *http.Client
}

func parseGRPC(service string, options []string, via Via) (check Check, port string, err error) {
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		if key != "port" {
			return nil, "", fmt.Errorf("unknown option %q; a grpc check has port=", o)
		}
		if port, err = parsePort(value); err != nil {
			return nil, "", err
		}
	}
	if len(service) > 127 {
		return nil, "", fmt.Errorf("the name of the service is longer than 127 bytes")
	}
	return newGRPCCheck(service, viaTo(port, via)), port, nil
}

func newGRPCCheck(service string, via Via) *GRPCCheck {
	via.HTTP2 = true
	g := &GRPCCheck{scheme: "http", client: &http.Client{Transport: via.transport()}}
	if via.TLS != nil {
		g.scheme = "https"
	}
	var message []byte
	if service != "" { // field 1, a string
		message = append(append(message, 1<<3|2, byte(len(service))), service...)
	}
	g.body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	return g
}

// serving is HealthCheckResponse.ServingStatus's.
var servingStatus = [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// Probe asks once.
func (g *GRPCCheck) Probe(ctx context.Context, addr string) (Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.scheme+"://"+addr+"/grpc.health.v1.Health/Check", bytes.NewReader(g.body))
	if err != nil {
		return Result{}, fmt.Errorf("cannot make a request for %q: %w", addr, err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	req.Header.Set("User-Agent", "sluice-health-check")
	resp, err := g.client.Do(req)
	if err != nil {
		if strings.HasSuffix(err.Error(), "client conn could not be established") { // which is all that net/http says, at times
			err = fmt.Errorf("%w; is it a server of HTTP/1.1 alone?", err)
		}
		return Result{}, err
	}
	defer finish(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return Result{}, fmt.Errorf("status %d, which is none of gRPC", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Result{}, fmt.Errorf("cannot read the answer: %w", err)
	}
	status := resp.Trailer.Get("Grpc-Status")
	message := resp.Trailer.Get("Grpc-Message")
	if status == "" { // there are trailers alone
		status, message = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	switch status {
	case "0":
	case "5":
		return Result{}, fmt.Errorf("it does not know the service (NOT_FOUND): %.80s", message)
	case "12":
		return Result{}, fmt.Errorf("it has no health service (UNIMPLEMENTED): %.80s", message)
	default:
		return Result{}, fmt.Errorf("status %.20q of gRPC: %.80s", status, message)
	}
	n, err := servingOf(body)
	switch {
	case err != nil:
		return Result{}, err
	case n != 1 && n < len(servingStatus):
		return Result{}, fmt.Errorf("it says that it is %s", servingStatus[n])
	case n != 1:
		return Result{}, fmt.Errorf("it says that its status is %d", n)
	}
	return Result{Tested: Answer}, nil
}

// servingOf returns field 1 of a HealthCheckResponse in its frame.
func servingOf(body []byte) (int, error) {
	const prefix = 5
	if len(body) < prefix || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-prefix {
		return 0, fmt.Errorf("the answer is no message of gRPC")
	}
	for p := body[prefix:]; len(p) > 0; {
		key, n := binary.Uvarint(p)
		if n <= 0 || key&7 != 0 {
			return 0, fmt.Errorf("the answer is no HealthCheckResponse")
		}
		value, m := binary.Uvarint(p[n:])
		if m <= 0 {
			return 0, fmt.Errorf("the answer is no HealthCheckResponse")
		}
		if key == 1<<3 {
			return int(min(value, 1<<20)), nil
		}
		p = p[n+m:]
	}
	return 0, nil // left out, as 0 is
}

func (g *GRPCCheck) String() string { return "grpc check" }
