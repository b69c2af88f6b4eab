package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/pkg/balance"
)

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
		"service", "strategy", "hash-balance", "consul", "dc", "tag", "port", "backend-drain-timeout", "dns", "file", "proxy-out", "max-conns", "queue", "queue-timeout",
		"protocol", "tls", "tls-ca", "tls-server-name", "close-on-unhealthy", "failover",
	}, slices.Concat(s.checkWay.keys(), s.ServiceHealth.keys(), s.Requests.keys(), s.HeaderEdits.keys(), s.Waits.keys(), s.HTTPWaits.keys(), s.TCPWaits.keys(), s.Connections.keys())...)
}

func (s *Service) set(key, value string) (err error) {
	switch key {
	case "service":
		s.Name = value
	case "strategy":
		s.Strategy = balance.Canonical(value)
	case "hash-balance":
		s.HashBalance, err = hashBalance(key, value)
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
	case "protocol":
		s.Protocol = value
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

// check checks what a line says: nothing of it may be wrong, and nothing useless.
func (s *Service) check() error {
	if err := s.useless(); err != nil {
		return err
	}
	return s.wrong()
}

// useless returns what has no effect without something else, which an operator
// may have taken away while a process runs.
func (s *Service) useless() error {
	if (s.Queue > 0 || s.QueueTimeout > 0) && s.MaxConns == 0 {
		return fmt.Errorf("queue= and queue-timeout= need max-conns=")
	}
	if s.Fleet && s.Rate == 0 && s.MaxRequests == 0 {
		return fmt.Errorf("fleet=true divides rate= and max-requests= among the sluices of the fleet, and there is neither")
	}
	return s.ClientRate.check()
}

func (s *Service) wrong() error {
	if err := serviceName(s.Name); err != nil {
		return err
	}
	if s.Strategy != "" {
		if err := checkStrategy(s.Strategy); err != nil {
			return err
		}
	}
	if err := s.checkProtocol(); err != nil {
		return err
	}
	switch {
	case s.TLS != "" && s.TLS != "verify" && s.TLS != "skip-verify":
		return fmt.Errorf("tls=%q is neither verify nor skip-verify", s.TLS)
	case s.TLS == "" && !s.Speaks().Secure() && (s.TLSCA != "" || s.TLSServerName != ""):
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
func (s Service) String() string { return line(s.Name, s.pairs()...) }

// Setting is a key of an item and its value.
type Setting struct{ Key, Value string }

// Settings returns what is set of the service, in the order of its line; a key
// that lists may come several times.
func (s Service) Settings() (all []Setting) {
	for _, p := range s.pairs() {
		if p.value != "" {
			all = append(all, Setting{p.key, p.value})
		}
	}
	return all
}

// DefaultHashBalance is the bound of strategies that hash, in percent: a quarter
// more than its part, as the authors of the method suggest.
const DefaultHashBalance = 125

// MaxHashBalance is the largest bound.
const MaxHashBalance = 10000

// hashBalance reads a bound, off or 0 for none.
func hashBalance(key, value string) (int, error) {
	if value == "off" {
		return -1, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(value, "%"))
	switch {
	case err != nil || n != 0 && (n < 100 || n > MaxHashBalance):
		return 0, fmt.Errorf("%s=%q is neither off nor a number from 100 to %d", key, value, MaxHashBalance)
	case n == 0:
		return -1, nil
	}
	return n, nil
}

func hashBalanceText(n int) string {
	if n < 0 {
		return "off"
	}
	return nonzero(n)
}

func (s Service) pairs() []pair {
	options := []pair{
		{"strategy", s.Strategy}, {"hash-balance", hashBalanceText(s.HashBalance)}, {"consul", s.Consul}, {"dc", s.Datacenter}, {"tag", s.Tag}, {"port", s.Port}, {"backend-drain-timeout", optional(s.BackendDrainTimeout)}, {"dns", s.DNS}, {"file", s.File}, {"check", s.Check},
		{"max-conns", nonzero(s.MaxConns)}, {"queue", nonzero(s.Queue)},
		{"protocol", s.Protocol}, {"tls", s.TLS}, {"tls-ca", s.TLSCA}, {"tls-server-name", s.TLSServerName},
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
	return slices.Concat(options, s.Failover.pairs(), s.ServiceHealth.pairs(), s.Requests.pairs(), s.HeaderEdits.pairs(), s.Waits.pairs(), s.HTTPWaits.pairs(), s.TCPWaits.pairs(), s.Connections.pairs())
}

// MarshalText is String.
func (s Service) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
