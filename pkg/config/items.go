package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/pkg/clienthello"
	"sluice/pkg/proxyproto"
)

func (c *ConnLimits) keys() []string {
	return []string{"max-conns", "max-conns-per-client", "max-rate-per-client"}
}

func (c *ConnLimits) set(key, value string) (err error) {
	switch key {
	case "max-conns":
		c.MaxConns, err = count(key, value)
	case "max-conns-per-client":
		c.MaxConnsPerClient, err = count(key, value)
	case "max-rate-per-client":
		c.MaxRatePerClient, err = count(key, value)
	}
	return err
}

func (c *ConnLimits) pairs() []pair {
	return []pair{
		{"max-conns", nonzero(c.MaxConns)},
		{"max-conns-per-client", nonzero(c.MaxConnsPerClient)},
		{"max-rate-per-client", nonzero(c.MaxRatePerClient)},
	}
}

// ParseL4 reads ADDR=SERVICE, sni, and the keys of ConnLimits, ProxyIn,
// Certificate and Hello.
func ParseL4(spec string) (L4, error) {
	var l L4
	head, options, err := cutSpec(spec)
	if err != nil {
		return l, err
	}
	addr, service, ok := strings.Cut(head, "=")
	if !ok {
		return l, fmt.Errorf("want ADDR=SERVICE[,key=value...], such as :5432=postgres")
	}
	l.Addr, l.Service = anyHost(addr), service
	if err := apply(&l, options); err != nil {
		return l, err
	}
	return l, l.check()
}

func (l *L4) keys() []string {
	return slices.Concat([]string{"addr", "service", "sni"}, l.ConnLimits.keys(), l.ProxyIn.keys(), l.Certificate.keys(), l.Hello.keys(), l.Waits.keys(), l.TCPWaits.keys())
}

func (l *L4) lists(key string) bool { return l.ProxyIn.lists(key) || l.Hello.lists(key) }

func (l *L4) set(key, value string) (err error) {
	switch {
	case key == "addr":
		l.Addr = anyHost(value)
	case key == "service":
		l.Service = value
	case key == "sni":
		l.SNI, err = clienthello.ParsePattern(value)
	case slices.Contains(l.ProxyIn.keys(), key):
		err = l.ProxyIn.set(key, value)
	case slices.Contains(l.Certificate.keys(), key):
		err = l.Certificate.set(key, value)
	case slices.Contains(l.Waits.keys(), key):
		err = l.Waits.set(key, value)
	case slices.Contains(l.TCPWaits.keys(), key):
		err = l.TCPWaits.set(key, value)
	case slices.Contains(l.Hello.keys(), key):
		err = l.Hello.set(key, value)
	default:
		err = l.ConnLimits.set(key, value)
	}
	return err
}

func (l *L4) check() error {
	if err := listenAddr(l.Addr); err != nil {
		return err
	}
	if err := l.ProxyIn.check(); err != nil {
		return err
	}
	if err := l.Certificate.check(); err != nil {
		return err
	}
	if err := l.Hello.check(l.Certificate); err != nil {
		return err
	}
	return serviceName(l.Service)
}

func (p *ProxyIn) keys() []string { return []string{"proxy-in", "proxy-from"} }

func (p *ProxyIn) lists(key string) bool { return key == "proxy-from" }

func (p *ProxyIn) set(key, value string) (err error) {
	switch key {
	case "proxy-in":
		p.Versions, err = proxyproto.ParseVersions(value)
	case "proxy-from":
		var n CIDR
		if n, err = ParseCIDR(value); err == nil {
			p.From = append(p.From, n)
		} else {
			err = fmt.Errorf("proxy-from=%q: %w", value, err)
		}
	}
	return err
}

func (p *ProxyIn) check() error {
	if len(p.From) > 0 && p.Versions == 0 {
		return fmt.Errorf("proxy-from=%s needs proxy-in=v1, v2 or v1v2", p.From[0])
	}
	return nil
}

func (p *ProxyIn) pairs() []pair {
	var pairs []pair
	if p.Versions != 0 {
		pairs = append(pairs, pair{"proxy-in", p.Versions.String()})
	}
	for _, n := range p.From {
		pairs = append(pairs, pair{"proxy-from", n.String()})
	}
	return pairs
}

func (c *Certificate) keys() []string {
	return []string{"tls-cert", "tls-key", "client-ca", "client-cert"}
}

func (c *Certificate) set(key, value string) error {
	switch key {
	case "tls-cert":
		c.Cert = value
	case "tls-key":
		c.Key = value
	case "client-ca":
		c.ClientCA = value
	case "client-cert":
		if c.ClientCert = value; value != "required" && value != "optional" {
			return fmt.Errorf("client-cert=%q is neither required nor optional", value)
		}
	}
	return nil
}

func (c *Certificate) check() error {
	if c.Key != "" && c.Cert == "" {
		return fmt.Errorf("tls-key=%s needs tls-cert=", c.Key)
	}
	if c.ClientCA != "" && c.Cert == "" {
		return fmt.Errorf("client-ca=%s needs tls-cert=", c.ClientCA)
	}
	if c.ClientCert != "" && c.ClientCA == "" {
		return fmt.Errorf("client-cert=%s needs client-ca=", c.ClientCert)
	}
	return nil
}

func (c *Certificate) pairs() []pair {
	return []pair{{"tls-cert", c.Cert}, {"tls-key", c.Key}, {"client-ca", c.ClientCA}, {"client-cert", c.ClientCert}}
}

// UnmarshalYAML reads the line of ParseL4 or a mapping with addr, service and
// its keys.
func (l *L4) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, l, ParseL4) }

// String returns the line that ParseL4 reads.
func (l L4) String() string {
	return line(l.Addr+"="+l.Service, slices.Concat([]pair{{"sni", l.SNI}}, l.ConnLimits.pairs(), l.ProxyIn.pairs(), l.Certificate.pairs(), l.Hello.pairs(), l.Waits.pairs(), l.TCPWaits.pairs())...)
}

// MarshalText is String.
func (l L4) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseL7 reads ADDR and the keys of ConnLimits, ProxyIn, Certificate and HTTP.
func ParseL7(spec string) (L7, error) {
	var l L7
	head, options, err := cutSpec(spec)
	if err != nil {
		return l, err
	}
	l.Addr = anyHost(head)
	if err := apply(&l, options); err != nil {
		return l, err
	}
	return l, l.check()
}

func (l *L7) keys() []string {
	return slices.Concat([]string{"addr"}, l.ConnLimits.keys(), l.ProxyIn.keys(), l.Certificate.keys(), l.HTTP.keys(), l.HeaderEdits.keys(), l.AuthName.keys(), l.Heads.keys(), l.Waits.keys(), l.HTTPWaits.keys())
}

func (l *L7) lists(key string) bool { return l.ProxyIn.lists(key) || l.HeaderEdits.lists(key) }

func (l *L7) set(key, value string) (err error) {
	switch {
	case key == "addr":
		l.Addr = anyHost(value)
	case slices.Contains(l.ProxyIn.keys(), key):
		err = l.ProxyIn.set(key, value)
	case slices.Contains(l.Certificate.keys(), key):
		err = l.Certificate.set(key, value)
	case slices.Contains(l.HTTP.keys(), key):
		err = l.HTTP.set(key, value)
	case key == "auth":
		err = l.AuthName.set(key, value)
	case l.HeaderEdits.lists(key):
		err = l.HeaderEdits.set(key, value)
	case slices.Contains(l.Heads.keys(), key):
		err = l.Heads.set(key, value)
	case slices.Contains(l.Waits.keys(), key):
		err = l.Waits.set(key, value)
	case slices.Contains(l.HTTPWaits.keys(), key):
		err = l.HTTPWaits.set(key, value)
	default:
		err = l.ConnLimits.set(key, value)
	}
	return err
}

func (l *L7) check() error {
	if err := listenAddr(l.Addr); err != nil {
		return err
	}
	if err := l.ProxyIn.check(); err != nil {
		return err
	}
	if err := l.HTTP.check(); err != nil {
		return err
	}
	if err := l.Heads.check(); err != nil {
		return err
	}
	return l.Certificate.check()
}

// UnmarshalYAML reads the line of ParseL7 or a mapping with addr and its keys.
func (l *L7) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, l, ParseL7) }

// String returns the line that ParseL7 reads.
func (l L7) String() string {
	return line(l.Addr, slices.Concat(l.ConnLimits.pairs(), l.ProxyIn.pairs(), l.Certificate.pairs(), l.HTTP.pairs(), l.HeaderEdits.pairs(), l.AuthName.pairs(), l.Heads.pairs(), l.Waits.pairs(), l.HTTPWaits.pairs())...)
}

// MarshalText is String.
func (l L7) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseRoute reads [HOST]/PATH=SERVICE, strip, and the keys of RouteOptions.
func ParseRoute(spec string) (Route, error) {
	var r Route
	head, options, err := cutSpec(spec)
	if err != nil {
		return r, err
	}
	eq := strings.LastIndexByte(head, '=') // a path may contain one
	slash := strings.IndexByte(head, '/')
	if eq < 0 || slash < 0 || slash > eq {
		return r, fmt.Errorf("want [HOST]/PATH=SERVICE[,key=value...], such as /=web or example.com/api=api")
	}
	r.Host, r.Path, r.Service = strings.ToLower(head[:slash]), head[slash:eq], head[eq+1:]
	if err := apply(&r, options); err != nil {
		return r, err
	}
	return r, r.check()
}

func (r *Route) keys() []string {
	return slices.Concat([]string{"host", "path", "service", "strip"}, r.RouteOptions.keys(), r.HeaderEdits.keys(), r.AuthName.keys(), r.Mirror.keys(), r.Waits.keys(), r.HTTPWaits.keys())
}

func (r *Route) set(key, value string) error {
	switch key {
	case "host":
		r.Host = strings.ToLower(value)
	case "path": // of a line it is how the path is forwarded
		if slices.Contains(pathForms(), value) {
			return r.RouteOptions.set("forward-path", value)
		}
		r.Path = value
	case "service":
		r.Service = value
	case "strip":
		r.Strip = value
	default:
		switch {
		case key == "auth":
			return r.AuthName.set(key, value)
		case slices.Contains(r.Mirror.keys(), key):
			return r.Mirror.set(key, value)
		case r.HeaderEdits.lists(key):
			return r.HeaderEdits.set(key, value)
		case slices.Contains(r.Waits.keys(), key):
			return r.Waits.set(key, value)
		case slices.Contains(r.HTTPWaits.keys(), key):
			return r.HTTPWaits.set(key, value)
		}
		return r.RouteOptions.set(key, value)
	}
	return nil
}

func (r *Route) check() error {
	host := r.Host
	if name, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port || name == "" {
			return fmt.Errorf("port %q of host %q is not a number from 1 to 65535, or the host is missing", port, host)
		}
		host = strings.TrimSuffix(host, ":"+port)
	}
	if name := strings.TrimPrefix(host, "*."); strings.ContainsFunc(name, notInHost) || host != "" && name == "" || strings.HasSuffix(name, ".") {
		return fmt.Errorf("host %q is not a host name, nor *. and one", r.Host)
	}
	if !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, " \t?#") {
		return fmt.Errorf("path %q is not a path that begins with /", r.Path)
	}
	if _, err := url.PathUnescape(r.Path); err != nil {
		return fmt.Errorf("path %q has a %% that begins no percent-encoding", r.Path)
	}
	for _, segment := range strings.Split(r.Path, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("path %q has a dot segment, which are resolved before a route is looked for", r.Path)
		}
	}
	if rest, ok := strings.CutPrefix(r.Path, r.Strip); !ok || r.Strip != "" && rest != "" && rest[0] != '/' && !strings.HasSuffix(r.Strip, "/") {
		return fmt.Errorf("strip %q is not a prefix of the path %q, by whole segments", r.Strip, r.Path)
	}
	if err := r.RouteOptions.check(); err != nil {
		return err
	}
	if err := r.Mirror.check(); err != nil {
		return err
	}
	if r.Redirect.Code != 0 {
		if r.Service != "" {
			return fmt.Errorf("a route with redirect= leads to no service; leave it away behind %s%s=", r.Host, r.Path)
		}
		if r.Waits != (Waits{}) || r.HTTPWaits != (HTTPWaits{}) {
			return fmt.Errorf("a route with redirect= forwards nothing; limits of time, pace and retries are of no use")
		}
		if r.Mirror.To != "" {
			return fmt.Errorf("a route with redirect= forwards nothing; mirror= is of no use")
		}
		if r.Auth != "" {
			return fmt.Errorf("a route with redirect= forwards nothing; auth= is of no use")
		}
		if len(r.RequestHeaders) > 0 {
			return fmt.Errorf("a route with redirect= forwards nothing; request-header= is of no use")
		}
		return nil
	}
	return serviceName(r.Service)
}

// notInHost reports whether r is in no host name and no IPv6 address.
func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_[]:", r)
}

func (r *Route) lists(key string) bool {
	return r.RouteOptions.lists(key) || r.HeaderEdits.lists(key)
}

// UnmarshalYAML reads the line of ParseRoute or a mapping with host, path,
// service and its keys.
func (r *Route) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, r, ParseRoute) }

// String returns the line that ParseRoute reads.
func (r Route) String() string {
	return line(r.Host+r.Path+"="+r.Service, slices.Concat([]pair{{"strip", r.Strip}}, r.RouteOptions.pairs(), r.HeaderEdits.pairs(), r.AuthName.pairs(), r.Mirror.pairs(), r.Waits.pairs(), r.HTTPWaits.pairs())...)
}

// MarshalText is String.
func (r Route) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ParseBackend reads SERVICE=HOST:PORT[,weight=N,zone=Z].
func ParseBackend(spec string) (Backend, error) {
	b := Backend{Weight: 1}
	head, options, err := cutSpec(spec)
	if err != nil {
		return b, err
	}
	service, addr, ok := strings.Cut(head, "=")
	if !ok {
		return b, fmt.Errorf("want SERVICE=HOST:PORT[,weight=N,zone=Z], such as web=10.0.0.1:80")
	}
	b.Service, b.Addr = service, addr
	if err := apply(&b, options); err != nil {
		return b, err
	}
	return b, b.check()
}

func (b *Backend) keys() []string { return []string{"service", "addr", "weight", "zone", "priority"} }

func (b *Backend) set(key, value string) (err error) {
	switch key {
	case "service":
		b.Service = value
	case "addr":
		b.Addr = value
	case "weight":
		b.Weight, err = count(key, value)
	case "zone":
		b.Zone = value
	case "priority":
		b.Priority, err = count(key, value)
	}
	return err
}

func (b *Backend) check() error {
	if err := serviceName(b.Service); err != nil {
		return err
	}
	if b.Weight > 65535 {
		return fmt.Errorf("weight %d is above 65535", b.Weight)
	}
	if b.Priority > 65535 {
		return fmt.Errorf("priority %d is above 65535", b.Priority)
	}
	host, port, err := net.SplitHostPort(b.Addr)
	if err != nil {
		return fmt.Errorf("address %q is not HOST:PORT", b.Addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q of %q is not a number from 1 to 65535", port, b.Addr)
	}
	if host == "" || strings.ContainsAny(host, " \t/=@") {
		return fmt.Errorf("host %q of %q is not a host", host, b.Addr)
	}
	return nil
}

// UnmarshalYAML reads the line of ParseBackend or a mapping with service,
// addr and its keys.
func (b *Backend) UnmarshalYAML(n *yaml.Node) error {
	b.Weight = 1
	return unmarshal(n, b, ParseBackend)
}

// String returns the line that ParseBackend reads.
func (b Backend) String() string {
	weight := strconv.Itoa(b.Weight)
	if b.Weight == 1 {
		weight = ""
	}
	return line(b.Service+"="+b.Addr, pair{"weight", weight}, pair{"zone", b.Zone}, pair{"priority", nonzero(b.Priority)})
}

// MarshalText is String.
func (b Backend) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// ParseService reads SERVICE[,key=value...].
func ParseService(spec string) (Service, error) {
	var s Service
	head, options, err := cutSpec(spec)
	if err != nil {
		return s, err
	}
	s.Name = head
	if err := apply(&s, options); err != nil {
		return s, err
	}
	return s, s.check()
}

func (s *Service) keys() []string {
	return append([]string{
		"service", "strategy", "consul", "dc", "tag", "port", "backend-drain-timeout", "dns", "file", "proxy-out", "max-conns", "queue", "queue-timeout",
		"tls", "tls-ca", "tls-server-name", "close-on-unhealthy", "failover",
	}, slices.Concat(s.checkWay.keys(), s.ServiceHealth.keys(), s.Requests.keys(), s.HeaderEdits.keys(), s.Waits.keys(), s.HTTPWaits.keys(), s.TCPWaits.keys(), s.Connections.keys())...)
}

func (s *Service) set(key, value string) (err error) {
	switch key {
	case "service":
		s.Name = value
	case "strategy":
		s.Strategy = value
	case "failover":
		err = s.Failover.set(value)
	case "consul":
		s.Consul = value
	case "port":
		s.Port = value
	case "backend-drain-timeout":
		s.BackendDrainTimeout, err = wait(key, value)
	case "dc":
		s.Datacenter = value
	case "dns":
		s.DNS = value
	case "file":
		s.File = value
	case "tag":
		s.Tag = value
	case "proxy-out":
		switch value {
		case "v1":
			s.ProxyOut = 1
		case "v2":
			s.ProxyOut = 2
		default:
			err = fmt.Errorf("proxy-out=%q is neither v1 nor v2", value)
		}
	case "max-conns":
		s.MaxConns, err = count(key, value)
	case "queue":
		s.Queue, err = count(key, value)
	case "queue-timeout":
		s.QueueTimeout, err = duration(key, value)
	case "tls":
		s.TLS = value
	case "tls-ca":
		s.TLSCA = value
	case "tls-server-name":
		s.TLSServerName = value
	case "close-on-unhealthy":
		s.CloseOnUnhealthy, err = boolean(key, value)
	default:
		switch {
		case slices.Contains(s.checkWay.keys(), key):
			s.checkWay.set(key, value)
			s.Check = s.checkWay.spec()
			return nil
		case slices.Contains(s.Requests.keys(), key):
			return s.Requests.set(key, value)
		case s.HeaderEdits.lists(key):
			return s.HeaderEdits.set(key, value)
		case slices.Contains(s.Waits.keys(), key):
			return s.Waits.set(key, value)
		case slices.Contains(s.HTTPWaits.keys(), key):
			return s.HTTPWaits.set(key, value)
		case slices.Contains(s.TCPWaits.keys(), key):
			return s.TCPWaits.set(key, value)
		case slices.Contains(s.Connections.keys(), key):
			return s.Connections.set(key, value)
		}
		err = s.ServiceHealth.set(key, value)
	}
	return err
}

func (s *Service) lists(key string) bool {
	return key == "failover" || s.checkWay.lists(key) || s.HeaderEdits.lists(key)
}

func (s *Service) check() error {
	if err := serviceName(s.Name); err != nil {
		return err
	}
	if s.Strategy != "" {
		if err := checkStrategy(s.Strategy); err != nil {
			return err
		}
	}
	if (s.Queue > 0 || s.QueueTimeout > 0) && s.MaxConns == 0 {
		return fmt.Errorf("queue= and queue-timeout= need max-conns=")
	}
	switch {
	case s.TLS != "" && s.TLS != "verify" && s.TLS != "skip-verify":
		return fmt.Errorf("tls=%q is neither verify nor skip-verify", s.TLS)
	case s.TLS == "" && (s.TLSCA != "" || s.TLSServerName != ""):
		return fmt.Errorf("tls-ca= and tls-server-name= need tls=verify")
	case s.TLS == "skip-verify" && s.TLSCA != "":
		return fmt.Errorf("tls-ca=%s is of no use with tls=skip-verify", s.TLSCA)
	}
	if err := s.Requests.check(); err != nil {
		return err
	}
	if err := s.Requests.checkStrategy(s.Strategy); err != nil {
		return err
	}
	if s.DNS != "" && !strings.HasPrefix(s.DNS, "_") {
		host, port, err := net.SplitHostPort(s.DNS)
		if err != nil || host == "" {
			return fmt.Errorf("dns=%s is neither HOST:PORT nor _SERVICE._PROTO.NAME", s.DNS)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("port %q of dns=%s is not a number from 1 to 65535", port, s.DNS)
		}
	}
	return s.checkWay.check(s.Check)
}

// UnmarshalYAML reads the line of ParseService or a mapping with service and
// its keys.
func (s *Service) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, s, ParseService) }

// String returns the line that ParseService reads.
func (s Service) String() string {
	options := []pair{
		{"strategy", s.Strategy}, {"consul", s.Consul}, {"dc", s.Datacenter}, {"tag", s.Tag}, {"port", s.Port}, {"backend-drain-timeout", optional(s.BackendDrainTimeout)}, {"dns", s.DNS}, {"file", s.File}, {"check", s.Check},
		{"max-conns", nonzero(s.MaxConns)}, {"queue", nonzero(s.Queue)},
		{"tls", s.TLS}, {"tls-ca", s.TLSCA}, {"tls-server-name", s.TLSServerName},
	}
	if s.ProxyOut != 0 {
		options = append(options, pair{"proxy-out", "v" + strconv.Itoa(s.ProxyOut)})
	}
	if s.QueueTimeout != 0 {
		options = append(options, pair{"queue-timeout", s.QueueTimeout.String()})
	}
	if s.CloseOnUnhealthy {
		options = append(options, pair{"close-on-unhealthy", "true"})
	}
	return line(s.Name, slices.Concat(options, s.Failover.pairs(), s.ServiceHealth.pairs(), s.Requests.pairs(), s.HeaderEdits.pairs(), s.Waits.pairs(), s.HTTPWaits.pairs(), s.TCPWaits.pairs(), s.Connections.pairs())...)
}

// MarshalText is String.
func (s Service) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseRegister reads SERVICE[,key=value...].
func ParseRegister(spec string) (Register, error) {
	var r Register
	head, options, err := cutSpec(spec)
	if err != nil {
		return r, err
	}
	r.Service = head
	if err := apply(&r, options); err != nil {
		return r, err
	}
	return r, r.check()
}

func (r *Register) keys() []string { return []string{"service", "addr", "port", "id", "tag", "check"} }

func (r *Register) lists(key string) bool { return key == "tag" }

func (r *Register) set(key, value string) (err error) {
	switch key {
	case "service":
		r.Service = value
	case "addr":
		r.Addr = value
	case "port":
		r.Port, err = count(key, value)
	case "id":
		r.ID = value
	case "tag":
		r.Tags = append(r.Tags, value)
	case "check":
		r.Check = value
	}
	return err
}

func (r *Register) check() error {
	if err := serviceName(r.Service); err != nil {
		return err
	}
	if r.Port > 65535 {
		return fmt.Errorf("port=%d is above 65535", r.Port)
	}
	if strings.ContainsAny(r.Addr, " \t/=@") || strings.Contains(r.Addr, ":") && !isAddr(r.Addr) {
		return fmt.Errorf("addr=%s is neither an IP address nor a host name", r.Addr)
	}
	if strings.ContainsAny(r.ID, " \t/?#%") {
		return fmt.Errorf("id=%s has characters that no ID can have", r.ID)
	}
	if slices.Contains(r.Tags, "") {
		return fmt.Errorf("tag= is empty")
	}
	if r.Check != "" && r.Check != "ttl" && r.Check != "http" {
		return fmt.Errorf("unknown check %q; known are ttl and http", r.Check)
	}
	return nil
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// UnmarshalYAML reads the line of ParseRegister or a mapping with service and
// its keys.
func (r *Register) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, r, ParseRegister) }

// String returns the line that ParseRegister reads.
func (r Register) String() string {
	options := []pair{{"addr", r.Addr}, {"port", nonzero(r.Port)}, {"id", r.ID}}
	for _, t := range r.Tags {
		options = append(options, pair{"tag", t})
	}
	return line(r.Service, append(options, pair{"check", r.Check})...)
}

// MarshalText is String.
func (r Register) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// DNSServer is the address of a DNS server, host:port.
type DNSServer string

// ParseDNSServer reads IP[:PORT]; the port is 53 if it is not given.
func ParseDNSServer(s string) (DNSServer, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return DNSServer(netip.AddrPortFrom(a, 53).String()), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return "", fmt.Errorf("want the address of a DNS server, IP or IP:PORT")
	}
	return DNSServer(ap.String()), nil
}

// UnmarshalYAML reads what ParseDNSServer reads.
func (d *DNSServer) UnmarshalYAML(n *yaml.Node) (err error) {
	if *d, err = ParseDNSServer(n.Value); err != nil {
		return yamlError(n, fmt.Errorf("%q: %w", n.Value, err))
	}
	return nil
}

// CIDR is a network.
type CIDR struct{ netip.Prefix }

// ParseCIDR reads a network such as 10.0.0.0/8, or a single address.
func ParseCIDR(s string) (CIDR, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return CIDR{p.Masked()}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return CIDR{}, fmt.Errorf("want a network such as 10.0.0.0/8 or an address")
	}
	return CIDR{netip.PrefixFrom(a, a.BitLen())}, nil
}

// UnmarshalYAML reads what ParseCIDR reads.
func (c *CIDR) UnmarshalYAML(n *yaml.Node) (err error) {
	if *c, err = ParseCIDR(n.Value); err != nil {
		return yamlError(n, fmt.Errorf("%q: %w", n.Value, err))
	}
	return nil
}

// MarshalText returns the network.
func (c CIDR) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
