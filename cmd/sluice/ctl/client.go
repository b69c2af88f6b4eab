package ctl

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	defaultTimeout = 30 * time.Second
	maxAnswer      = 64 << 20
)

// connection is where to ask, as the flags say.
type connection struct {
	addr, token, tokenFile, file, ca, cert, key string
	timeout                                     time.Duration
}

// settings is the same in a file.
type settings struct {
	Addr      string `yaml:"addr"`
	Token     string `yaml:"token"`
	TokenFile string `yaml:"token-file"`
	CA        string `yaml:"ca"`
	Cert      string `yaml:"cert"`
	Key       string `yaml:"key"`
}

// client asks one control plane.
type client struct {
	base    string
	token   string
	http    http.Client
	timeout time.Duration
	headers []string // of a question
}

// open returns a client, by flags, environment, file and defaults in this order.
func (c connection) open(env Env) (*client, error) {
	get := func(name string) string {
		for _, kv := range env.Environ {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				return v
			}
		}
		return ""
	}
	s, err := readSettings(cmp.Or(c.file, get("SLUICE_CTL_FILE")), get)
	if err != nil {
		return nil, err
	}
	addr := cmp.Or(c.addr, get("SLUICE_CTL_ADDR"), s.Addr, env.Default.Addr)
	token := cmp.Or(c.token, get("SLUICE_CTL_TOKEN"))
	if file := cmp.Or(c.tokenFile, get("SLUICE_CTL_TOKEN_FILE")); token == "" && file != "" {
		if token, err = readToken(file); err != nil {
			return nil, err
		}
	}
	if token == "" && s.Token+s.TokenFile != "" {
		if token = s.Token; token == "" {
			if token, err = readToken(s.TokenFile); err != nil {
				return nil, err
			}
		}
	}
	if token == "" {
		if token = env.Default.Token; token == "" && env.Default.TokenFile != "" {
			if token, err = readToken(env.Default.TokenFile); err != nil {
				return nil, err
			}
		}
	}
	out := &client{token: token, timeout: c.timeout}
	transport := &http.Transport{} // no proxy: it is an operator's own
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		path, _, _ = strings.Cut(path, ",") // what follows is for who listens
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
		addr = "http://localhost"
	}
	if !strings.Contains(addr, "://") {
		addr = "http://" + reachable(addr)
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError(fmt.Sprintf("--addr: %q is not HOST:PORT, https://HOST:PORT or unix:PATH", addr))
	}
	out.base = u.Scheme + "://" + reachable(u.Host)
	if transport.TLSClientConfig, err = tlsConfig(cmp.Or(c.ca, s.CA, ownCA(addr, env.Default)), cmp.Or(c.cert, s.Cert), cmp.Or(c.key, s.Key)); err != nil {
		return nil, err
	}
	out.http.Transport = transport
	return out, nil
}

// ownCA returns what is believed of the sluice of this machine: its certificate.
func ownCA(addr string, own Place) string {
	if addr == own.Addr {
		return own.Cert
	}
	return ""
}

// reachable returns where this machine finds who listens at an address.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func readSettings(path string, get func(string) string) (s settings, err error) {
	own := path == ""
	if own {
		home := cmp.Or(get("XDG_CONFIG_HOME"), filepath.Join(get("HOME"), ".config"))
		path = filepath.Join(home, "sluice", "ctl.yaml")
	}
	b, err := os.ReadFile(path)
	if own && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return s, nil
	}
	if err != nil {
		return s, usageError("--file: " + err.Error())
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return s, usageError(fmt.Sprintf("--file: %s: %v", path, err))
	}
	return s, nil
}

func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", usageError("--token-file: " + err.Error())
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line), nil
}

func tlsConfig(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, usageError("--ca: " + err.Error())
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageError("--ca: there is no certificate in " + ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, cmp.Or(key, cert))
		if err != nil {
			return nil, usageError("--cert: " + err.Error())
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// refusal is an answer other than 200.
type refusal struct {
	status   int
	detail   string
	problems []struct {
		Field, Value, Reason string
		Allowed              []string
	}
	body []byte
}

func (r *refusal) Error() string {
	if len(r.problems) == 0 {
		// The API's words for flags that are spelt otherwise here.
		spelt := strings.NewReplacer("force=true", "--force", "local=true", "--local", "dry_run=true", "--dry-run")
		return spelt.Replace(cmp.Or(r.detail, http.StatusText(r.status)))
	}
	var all []string
	for _, p := range r.problems {
		line := p.Field + ": " + p.Reason
		if p.Value != "" {
			line = fmt.Sprintf("%s: %q: %s", p.Field, p.Value, p.Reason)
		}
		if len(p.Allowed) > 0 {
			line += "; allowed are " + strings.Join(p.Allowed, ", ")
		}
		all = append(all, line)
	}
	return strings.Join(all, "\nsluice ctl: ")
}

func (r *refusal) exit() int {
	switch r.status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return Usage
	case http.StatusConflict:
		return Conflict
	case http.StatusPreconditionFailed:
		return Stale
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return Denied
	case http.StatusNotFound:
		return NotFound
	}
	return Failed
}

// request returns a request with parameters in its query.
func (c *client) request(ctx context.Context, method, path string, params url.Values) (*http.Request, error) {
	target := c.base + path
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("User-Agent", "sluice-ctl")
	return req, nil
}

// call makes a call and returns its answer, which is a refusal unless it is 200.
func (c *client) call(ctx context.Context, method, path string, params url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := c.request(ctx, method, path, params)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s breaks off: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return body, refusalOf(resp.StatusCode, body)
	}
	return body, nil
}

func refusalOf(status int, body []byte) *refusal {
	r := &refusal{status: status, body: body}
	var p struct {
		Detail   string
		Problems []struct {
			Field, Value, Reason string
			Allowed              []string
		}
	}
	if json.Unmarshal(body, &p) == nil {
		r.detail, r.problems = p.Detail, p.Problems
	} else {
		r.detail = strings.TrimSpace(string(body))
	}
	return r
}
