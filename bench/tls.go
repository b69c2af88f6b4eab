package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// certFiles are a certificate on P-256, its key, and both in one file, which is
// what HAProxy takes.
type certFiles struct{ cert, key, both string }

// writeCert makes a certificate for 127.0.0.1 in dir.
func writeCert(dir string) (certFiles, error) {
	f := certFiles{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), both: filepath.Join(dir, "both.pem")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return f, fmt.Errorf("cannot make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return f, fmt.Errorf("cannot make a certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return f, fmt.Errorf("cannot encode the key: %w", err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	return f, errors.Join(writeFile(f.cert, cert), writeFile(f.key, private), writeFile(f.both, append(cert, private...)))
}

// resumer is a load of connections whose TLS sessions are resumed, a request on
// each, as fast as they go; wrk makes a full handshake each time. The time on
// either side of the handshake is its own, so its rate says less than the CPU of
// what it loads.
type resumer struct {
	addr  string
	conns int // at a time
	time  time.Duration
}

// resumed is what a resumer has done.
type resumed struct {
	requests int64
	elapsed  time.Duration
	latency  *hdrhistogram.Histogram // of a whole connection, in nanoseconds
}

// run loads the proxy until the time is over. Each of its workers makes one full
// handshake before, which is not counted; one that is not resumed is an error.
func (l resumer) run(ctx context.Context) (resumed, error) {
	var (
		mu    sync.Mutex // protects the sums
		sum   = resumed{latency: hdrhistogram.New(1, int64(time.Minute), 3)}
		errs  = make([]error, l.conns)
		ready sync.WaitGroup
		done  sync.WaitGroup
		begin = make(chan time.Time)
	)
	for w := range l.conns {
		ready.Add(1)
		done.Go(func() {
			cfg := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1), MinVersion: tls.VersionTLS13,
				CurvePreferences: []tls.CurveID{tls.X25519}} // which all agree on; the hybrid one costs more
			_, errs[w] = l.once(ctx, cfg)
			ready.Done()
			end := (<-begin).Add(l.time)
			own := resumed{latency: hdrhistogram.New(1, int64(time.Minute), 3)}
			for errs[w] == nil && ctx.Err() == nil && time.Now().Before(end) {
				at := time.Now()
				var again bool
				if again, errs[w] = l.once(ctx, cfg); errs[w] == nil && !again {
					errs[w] = errors.New("the proxy did not resume a session")
				}
				own.requests++
				_ = own.latency.RecordValue(int64(time.Since(at))) // at most a minute
			}
			mu.Lock()
			defer mu.Unlock()
			sum.requests += own.requests
			sum.latency.Merge(own.latency)
		})
	}
	ready.Wait()
	at := time.Now()
	for range l.conns {
		begin <- at
	}
	done.Wait()
	sum.elapsed = time.Since(at)
	return sum, errors.Join(errs...)
}

// once makes a connection with one request, and reports whether its session was
// resumed.
func (l resumer) once(ctx context.Context, cfg *tls.Config) (again bool, err error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: cfg}
	nc, err := d.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return false, fmt.Errorf("cannot connect to the proxy: %w", err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return false, fmt.Errorf("cannot set a deadline: %w", err)
	}
	if _, err := io.WriteString(nc, closingRequest); err != nil {
		return false, fmt.Errorf("cannot send a request: %w", err)
	}
	answer, err := io.ReadAll(nc) // with it comes the ticket for the next one
	if err != nil {
		return false, fmt.Errorf("cannot read a response: %w", err)
	}
	if size, err := parseResponse(answer); err != nil || size != len(answer) {
		return false, fmt.Errorf("cannot use a response of %d bytes: %w", len(answer), err)
	}
	return nc.(*tls.Conn).ConnectionState().DidResume, nil
}

const closingRequest = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
