package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// minConsulConns is how many connections to an agent are needed at least: some
// for registrations, some for each kind of query.
const minConsulConns = 16

// Problem is something wrong with one setting.
type Problem struct {
	// Setting is the setting's name, which is also the flag's.
	Setting string
	// Reason says what is wrong, with the offending value.
	Reason string
	// Idle says that something has no effect, which is a mistake at a start, and
	// may be meant by who changes things while a process runs.
	Idle bool
}

func (p Problem) Error() string { return "--" + p.Setting + ": " + p.Reason }

// Validate returns all that is wrong with c, joined; each part is a Problem.
func (c *Config) Validate() error {
	v := &validation{c: c}
	if c.Demo {
		v.demo()
	} else {
		v.listeners()
		v.services()
		v.auths()
	}
	v.behaviour()
	v.plane()
	return errors.Join(v.problems...)
}

type validation struct {
	c        *Config
	problems []error
}

func (v *validation) add(setting, format string, args ...any) {
	v.problems = append(v.problems, Problem{Setting: setting, Reason: fmt.Sprintf(format, args...)})
}

// idle adds a problem of something that has no effect.
func (v *validation) idle(setting, format string, args ...any) {
	v.problems = append(v.problems, Problem{Setting: setting, Reason: fmt.Sprintf(format, args...), Idle: true})
}

// listeners checks addresses, routes and what they need of each other.
func (v *validation) listeners() {
	c := v.c
	type claimed struct{ setting, addr string }
	var taken []claimed
	claim := func(setting, addr string) {
		if addr == "" || addr == Off || strings.HasPrefix(addr, "unix:") {
			return
		}
		for _, t := range taken {
			switch {
			case !overlap(t.addr, addr):
				continue
			case t.addr == addr:
				v.add(setting, "address %q is taken by --%s already", addr, t.setting)
			default:
				v.add(setting, "address %q is taken by %q of --%s already", addr, t.addr, t.setting)
			}
			return
		}
		taken = append(taken, claimed{setting, addr})
	}
	for _, parts := range c.Listeners() {
		claim("l4", parts[0].Addr)
		v.parts(parts)
	}
	for _, l := range c.L7 {
		claim("l7", l.Addr)
	}
	claim("admin", c.Admin)
	claim("health-addr", c.HealthAddr)

	if len(c.L4) == 0 && len(c.L7) == 0 && c.ConsulTags == "" {
		v.idle("l4", "nothing to listen on; set --l4, --l7 or --demo")
	}
	if len(c.L7) > 0 && len(c.Routes) == 0 && c.ConsulTags == "" {
		v.idle("l7", "%q has nowhere to send requests; add --route, for instance /=web", c.L7[0].Addr)
	}
	if len(c.Routes) > 0 && len(c.L7) == 0 {
		v.idle("route", "%q is never used; add --l7", c.Routes[0])
	}
	seen := make(map[string]bool)
	for _, r := range c.Routes {
		key := r.Host + spelled(r.Path) + r.matches()
		if seen[key] {
			v.add("route", "%q is set twice", r.Host+r.Path)
		}
		seen[key] = true
	}
}

// parts checks the parts of one TCP listener against each other.
func (v *validation) parts(parts []L4) {
	c, first := v.c, parts[0]
	names := make(map[string]bool)
	for _, l := range parts {
		switch {
		case names[l.SNI] && l.SNI == "":
			v.add("l4", "address %q is taken by --l4 already; several may share one if each has another sni=", l.Addr)
		case names[l.SNI]:
			v.add("l4", "%q has sni=%s twice", l.Addr, l.SNI)
		}
		names[l.SNI] = true
		if (l.Cert == "") != (first.Cert == "") {
			v.add("l4", "%q has tls-cert= for some names; it must be for all or none", l.Addr)
		}
		if d := l.ConnectTimeout; d != nil && *d > c.L4ConnectDeadline {
			v.add("l4", "%q has connect-timeout=%v, more than --l4-connect-deadline %v for all attempts", l.Addr, *d, c.L4ConnectDeadline)
		}
	}
	whole, err := merged(parts)
	if err != nil {
		v.add("l4", "%q: %v", first.Addr, err)
	}
	if whole.Fleet && !whole.eachClient() {
		v.add("l4", "%q: fleet=true divides max-conns-per-client= and max-rate-per-client= among the sluices of the fleet, and there is neither", first.Addr)
	}
	if named := len(names) > 1 || first.SNI != ""; whole.SNIWait != 0 && !(named && names[""]) {
		v.add("l4", "%q has sni-wait=, which needs some --l4 at the same address with sni= and one without", first.Addr)
	}
}

// services checks that every service has members and every member a use.
func (v *validation) services() {
	c := v.c
	used := c.ServiceNames()
	setting := make(map[string]string) // service -> the setting that uses it
	for _, r := range c.Routes {
		setting[r.Service], setting[r.Canary.Service], setting[r.Mirror.To] = "route", "route", "route"
	}
	routed := maps.Clone(setting)
	for _, l := range c.L4 {
		setting[l.Service] = "l4"
	}
	for _, name := range used {
		if c.InConsul(name) && c.Consul == "" && !c.asksConsul(name) {
			v.add(setting[name], "service %q is not known; add --backend %s=HOST:PORT, or --consul ADDR to look it up", name, name)
		}
	}
	if strings.Contains(c.Consul, "@") {
		v.add("consul", "an address has no user and password in it; give them as CONSUL_HTTP_AUTH=USER:PASSWORD in the environment")
	} else if err := consulAddresses(c.Consul); err != nil {
		v.add("consul", "%v", err)
	}
	if c.ConsulTags != "" && c.Consul == "" {
		v.add("consul-tags", "%q are tags in Consul, but there is no --consul", c.ConsulTags)
	}
	if strings.ContainsAny(c.ConsulTags, " \t\n") {
		v.add("consul-tags", "%q has spaces; it is what tags begin with, such as urlprefix-", c.ConsulTags)
	}
	v.registers()
	v.failovers()
	addrs := make(map[string]bool)
	for _, b := range c.Backends {
		if !slices.Contains(used, b.Service) && !c.failsOver(b.Service) {
			v.idle("backend", "%q is never used; no --l4 or --route leads to service %q", b, b.Service)
		}
		key := b.Service + "=" + b.Addr
		if addrs[key] {
			v.add("backend", "%q is set twice", key)
		}
		addrs[key] = true
	}
	names := make(map[string]bool)
	for _, s := range c.Services {
		for _, x := range []struct {
			key string
			set bool
		}{{"proxy-out", s.ProxyOut != 0}} {
			if x.set && routed[s.Name] != "" {
				v.add("service", "%q has %s=, which is for TCP alone, but --route leads to it", s.Name, x.key)
			}
		}
		if s.Protocol != "" && routed[s.Name] == "" && c.ConsulTags == "" {
			v.add("service", "%q has protocol=, which is for HTTP requests, but no --route leads to it", s.Name)
		}
		if c.L7Driver == "fasthttp" && s.Speaks() != backend.HTTP && routed[s.Name] != "" {
			v.add("service", "%q has protocol= or tls=, which need --l7-driver=loop where HTTP leads to it", s.Name)
		}
		if err := s.wrong(); err != nil {
			v.add("service", "%q: %v", s.Name, err)
		}
		if err := s.useless(); err != nil {
			v.idle("service", "%q: %v", s.Name, err)
		}
		v.waits(&s, routed[s.Name] != "", setting[s.Name] == "l4")
		if names[s.Name] {
			v.add("service", "%q is set twice", s.Name)
		}
		names[s.Name] = true
		if !slices.Contains(used, s.Name) && c.ConsulTags == "" && !c.failsOver(s.Name) {
			v.idle("service", "%q is never used; no --l4 or --route leads to it", s.Name)
		} else if (s.Requests.any() || s.HeaderEdits.any()) && routed[s.Name] == "" {
			v.add("service", "%q has %s, for HTTP requests, but no --route leads to it", s.Name, strings.Join(s.forRequests(), ", "))
		}
		if c.asksConsul(s.Name) && c.Consul == "" {
			v.add("service", "%q has consul=, dc=, tag= or port= but there is no --consul", s.Name)
		}
	}
}

// waits checks the limits of time of a service to which routes or TCP listeners
// lead.
func (v *validation) waits(s *Service, routed, tcp bool) {
	c := v.c
	if s.HTTPWaits != (HTTPWaits{}) && !routed && c.ConsulTags == "" {
		v.add("service", "%q has %s=, which is for HTTP requests, but no --route leads to it", s.Name, s.HTTPWaits.first())
	}
	if s.Connections != (Connections{}) && !routed && c.ConsulTags == "" {
		v.add("service", "%q has reuse= or backend-idle-timeout=, which are for HTTP requests, but no --route leads to it", s.Name)
	}
	if s.TCPWaits != (TCPWaits{}) && !tcp && c.ConsulTags == "" {
		v.add("service", "%q has idle-timeout= or fin-timeout=, which are for TCP connections, but no --l4 leads to it", s.Name)
	}
	if d := s.ConnectTimeout; tcp && d != nil && *d > c.L4ConnectDeadline {
		v.add("service", "%q has connect-timeout=%v, more than --l4-connect-deadline %v for all attempts", s.Name, *d, c.L4ConnectDeadline)
	}
}

// registers checks what the process registers itself as.
func (v *validation) registers() {
	c := v.c
	ids := make(map[string]bool)
	for _, r := range c.Registers {
		switch listeners := len(c.Listeners()) + len(c.L7); {
		case c.Consul == "":
			v.add("register", "%q needs --consul", r)
		case r.Port == 0 && listeners != 1:
			v.add("register", "%q needs port=, for there are %d listeners", r, listeners)
		case r.Check == "http" && c.HealthAddr == "":
			v.add("register", "%q needs --health-addr, for Consul to ask", r)
		case ids[r.Service+r.ID]:
			v.add("register", "%q has the service and id of another one", r)
		}
		ids[r.Service+r.ID] = true
	}
}

// asksConsul reports whether the settings of a service say something about its
// members in Consul.
func (c *Config) asksConsul(name string) bool {
	return slices.ContainsFunc(c.Services, func(s Service) bool {
		return s.Name == name && (s.Consul != "" || s.Datacenter != "" || s.Tag != "" || s.Port != "")
	})
}

// behaviour checks how everything is to behave.
func (v *validation) behaviour() {
	c := v.c
	if err := checkStrategy(c.Strategy); err != nil {
		v.add("strategy", "%v", err)
	}
	if strings.ContainsFunc(c.Zone, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		v.add("zone", "%q has spaces or control characters", c.Zone)
	}
	positive := func(setting string, d time.Duration) {
		if d <= 0 {
			v.add(setting, "%v is not above 0", d)
		}
	}
	positive("health-interval", c.HealthInterval)
	positive("health-fast-interval", c.HealthFastInterval)
	positive("health-down-interval", c.HealthDownInterval)
	positive("health-timeout", c.HealthTimeout)
	positive("ejection-time", c.EjectionTime)
	positive("l4-connect-timeout", c.L4ConnectTimeout)
	positive("l4-connect-deadline", c.L4ConnectDeadline)
	positive("l7-connect-timeout", c.L7ConnectTimeout)
	positive("l7-head-timeout", c.L7HeadTimeout)
	positive("l7-body-timeout", c.L7BodyTimeout)
	positive("l7-response-timeout", c.L7ResponseTimeout)
	positive("l7-idle-timeout", c.L7IdleTimeout)
	notNegative := func(setting string, d time.Duration) {
		if d < 0 {
			v.add(setting, "%v is below 0", d)
		}
	}
	notNegative("l4-hedge-after", c.L4HedgeAfter)
	notNegative("l4-idle-timeout", c.L4IdleTimeout)
	notNegative("l4-fin-timeout", c.L4FINTimeout)
	notNegative("l4-user-timeout", c.L4UserTimeout)
	notNegative("l7-fin-timeout", c.L7FINTimeout)
	notNegative("l7-backend-idle-timeout", c.L7BackendIdleTimeout)
	notNegative("l7-total-timeout", c.L7TotalTimeout)
	notNegative("l7-upgrade-idle-timeout", c.L7UpgradeIdleTimeout)
	notNegative("l7-upgrade-fin-timeout", c.L7UpgradeFINTimeout)
	positive("l7-linger-timeout", c.L7LingerTimeout)
	positive("l7-linger-time", c.L7LingerTime)
	if c.L7MinBodyRate < 0 || c.L7MinBodyRate > maxBodyRate {
		v.add("l7-min-body-rate", "%d is not a number of bytes a second from 0 to %d", c.L7MinBodyRate, maxBodyRate)
	}
	notNegative("backend-drain-timeout", c.BackendDrainTimeout)
	positive("handshake-timeout", c.HandshakeTimeout)
	notNegative("consul-keep", c.ConsulKeep)
	if c.ConsulMaxConns < minConsulConns {
		v.add("consul-max-conns", "%d is less than %d", c.ConsulMaxConns, minConsulConns)
	}
	positive("dns-min-ttl", c.DNSMinTTL)
	positive("dns-max-ttl", c.DNSMaxTTL)
	notNegative("dns-keep", c.DNSKeep)
	if c.DNSMaxTTL < c.DNSMinTTL && c.DNSMaxTTL > 0 {
		v.add("dns-max-ttl", "%v is less than --dns-min-ttl %v", c.DNSMaxTTL, c.DNSMinTTL)
	}
	notNegative("drain-delay", c.DrainDelay)
	notNegative("drain-timeout", c.DrainTimeout)
	notNegative("handover-timeout", c.HandoverTimeout)
	if c.L4ConnectDeadline < c.L4ConnectTimeout && c.L4ConnectDeadline > 0 {
		v.add("l4-connect-deadline", "%v for all attempts is less than --l4-connect-timeout %v for one", c.L4ConnectDeadline, c.L4ConnectTimeout)
	}
	if c.HealthFastInterval > c.HealthInterval && c.HealthInterval > 0 {
		v.add("health-fast-interval", "%v is more than --health-interval %v", c.HealthFastInterval, c.HealthInterval)
	}
	if c.RetryBudget < 0 {
		v.add("retry-budget", "%d is below 0", c.RetryBudget)
	}
	inPercent := func(setting string, n int) {
		if n < 0 || n > 100 {
			v.add(setting, "%d is not a number from 0 to 100", n)
		}
	}
	inPercent("max-ejection", c.MaxEjection)
	inPercent("panic-threshold", c.PanicThreshold)
	if c.SlowStart < 0 || c.SlowStart > MaxSlowStart {
		v.add("slow-start", "%v is not within 0 and %v", c.SlowStart, MaxSlowStart)
	}
	if c.HealthRise < 1 {
		v.add("health-rise", "%d is below 1", c.HealthRise)
	}
	if c.HealthFall < 1 {
		v.add("health-fall", "%d is below 1", c.HealthFall)
	}
}

// admin checks where the control plane listens and who may use it.
func (v *validation) admin() {
	c := v.c
	_, isUnix, err := ParseUnix(c.Admin)
	if !isUnix {
		err = listenAddr(c.Admin)
	}
	guarded := c.AdminToken != "" || c.AdminTokenFile != "" || c.AdminReadToken != "" || c.AdminReadTokenFile != "" ||
		c.AdminClientCA != "" && c.AdminClientCert != "optional"
	switch {
	case err != nil:
		v.add("admin", "%v; %q turns it off", err, Off)
	case !isUnix && !loopback(c.Admin) && !guarded && !c.AdminInsecure:
		v.add("admin", "%q can be reached from elsewhere; set --admin-token, or --admin-insecure if the network is trusted", c.Admin)
	}
	for _, t := range []struct {
		setting string
		value   Secret
		file    string
	}{{"admin-token", c.AdminToken, c.AdminTokenFile}, {"admin-read-token", c.AdminReadToken, c.AdminReadTokenFile}} {
		if t.value != "" && t.file != "" {
			v.add(t.setting+"-file", "%q and --%s name two tokens; set one", t.file, t.setting)
		}
	}
	if c.AdminToken != "" && c.AdminToken == c.AdminReadToken {
		v.add("admin-read-token", "it is that of --admin-token, which may change everything")
	}
	certificate := Certificate{Cert: c.AdminTLSCert, Key: c.AdminTLSKey, ClientCA: c.AdminClientCA, ClientCert: c.AdminClientCert}
	switch {
	case c.AdminTLSKey != "" && c.AdminTLSCert == "":
		v.add("admin-tls-key", "%q needs --admin-tls-cert", c.AdminTLSKey)
	case c.AdminClientCA != "" && c.AdminTLSCert == "":
		v.add("admin-client-ca", "%q needs --admin-tls-cert", c.AdminClientCA)
	case c.AdminClientCert != "" && c.AdminClientCA == "":
		v.add("admin-client-cert", "%q needs --admin-client-ca", c.AdminClientCert)
	case c.AdminClientCert != "" && certificate.set("client-cert", c.AdminClientCert) != nil:
		v.add("admin-client-cert", "%q is neither required nor optional", c.AdminClientCert)
	}
}

// AdminCertificate is what the control plane shows its clients, and asks of
// them.
func (c *Config) AdminCertificate() Certificate {
	return Certificate{Cert: c.AdminTLSCert, Key: c.AdminTLSKey, ClientCA: c.AdminClientCA, ClientCert: c.AdminClientCert}
}

// fleet checks where changes are kept.
func (v *validation) fleet() {
	c := v.c
	if c.Fleet == "" {
		const alone = "%q has fleet=true, but this sluice is in no fleet; set --fleet"
		for _, l := range c.L4 {
			if l.Fleet {
				v.add("l4", alone, l.Key())
			}
		}
		for _, l := range c.L7 {
			if l.Fleet {
				v.add("l7", alone, l.Addr)
			}
		}
		for _, s := range c.Services {
			if s.Fleet {
				v.add("service", alone, s.Name)
			}
		}
		return
	}
	if err := serviceName(c.Fleet); err != nil || strings.Trim(c.Fleet, ".") == "" {
		v.add("fleet", "%q is not a name of letters, digits, dot, dash and underscore", c.Fleet)
	}
	if c.Consul == "" {
		v.add("fleet", "%q keeps what operators change in Consul; set --consul", c.Fleet)
	}
	if c.State != "" {
		v.add("state", "%q is of no use with --fleet, which keeps what operators change in Consul", c.State)
	}
}

// plane checks what runs beside the data path.
func (v *validation) plane() {
	c := v.c
	if c.Admin != Off {
		v.admin()
	}
	v.fleet()
	v.copilot()
	if c.HealthAddr != "" {
		if err := listenAddr(c.HealthAddr); err != nil {
			v.add("health-addr", "%v", err)
		}
	}
	switch {
	case c.L4Driver == "auto", c.L4Driver == "copy", c.L4Driver == "epoll" && runtime.GOOS == "linux":
	case c.L4Driver == "epoll":
		v.add("l4-driver", `"epoll" needs Linux`)
	default:
		v.add("l4-driver", "unknown driver %q; known are auto, epoll, copy", c.L4Driver)
	}
	if !slices.Contains([]string{"auto", "loop", "fasthttp"}, c.L7Driver) {
		v.add("l7-driver", "unknown driver %q; known are auto, loop, fasthttp", c.L7Driver)
	}
	for _, l := range c.L7 {
		if c.L7Driver == "fasthttp" && (l.H2C || l.H2 != nil && *l.H2) {
			v.add("l7", "%s: HTTP/2 needs --l7-driver=loop", l.Addr)
		}
	}
	if c.LogFormat != "json" && c.LogFormat != "text" {
		v.add("log-format", "unknown format %q; known are json, text", c.LogFormat)
	}
	v.accessLog()
	v.otlp()
	v.dump()
	if _, err := c.Level(); err != nil {
		v.add("log-level", "unknown level %q; known are debug, info, warn, error", c.LogLevel)
	}
}

// overlap reports whether only one of two addresses, host:port, can be
// listened on at a time: their ports are the same, and so are their hosts, or
// one of them stands for all. (Go listens on 0.0.0.0 as on ::.)
func overlap(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	p, errA := strconv.Atoi(portA)
	q, errB := strconv.Atoi(portB)
	if errA != nil || errB != nil || p != q || p == 0 {
		return a == b && strings.HasPrefix(a, Passed)
	}
	x, y := listenHost(hostA), listenHost(hostB)
	return x == y || x == "" || y == ""
}

// listenHost returns host in one spelling, and nothing for any address of this
// machine.
func listenHost(host string) string {
	if host == "localhost" {
		return "127.0.0.1" // which Go prefers where a name has several addresses
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return strings.ToLower(host)
	case addr.Unmap().IsUnspecified():
		return ""
	}
	return addr.Unmap().String()
}

// Level returns LogLevel as slog knows it.
func (c *Config) Level() (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(c.LogLevel))
	return l, err
}

// loopback reports whether addr, host:port, is reachable from this machine
// alone.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func checkStrategy(name string) error {
	if !balance.Valid(balance.Canonical(name)) {
		return fmt.Errorf("unknown strategy %q; known are %s", name, strings.Join(balance.Names(), ", "))
	}
	return nil
}
