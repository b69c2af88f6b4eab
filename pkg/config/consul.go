package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// consulAddresses checks a list of addresses of Consul's HTTP API: HOST,
// HOST:PORT, either behind http:// or https:// and before a path, and
// unix://PATH.
func consulAddresses(list string) error {
	if list == "" {
		return nil
	}
	found := false
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		found = true
		if err := consulAddress(one); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%q is no address", list)
	}
	return nil
}

func consulAddress(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case !ok:
		rest = s
	case scheme == "unix" && rest != "":
		return nil
	case scheme != "http" && scheme != "https":
		return fmt.Errorf("%q: want HOST:PORT, http://, https:// or unix://", s)
	}
	host, _, _ := strings.Cut(rest, "/")
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return fmt.Errorf("%q: an IPv6 address is written in brackets", s)
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q: port %q is not a number from 1 to 65535", s, port)
		}
		host = name
	} else if ip6 := strings.HasPrefix(host, "["); ip6 != strings.HasSuffix(host, "]") || !ip6 && strings.Contains(host, ":") {
		return fmt.Errorf("%q is not HOST:PORT", s)
	}
	if host == "" || strings.ContainsAny(host, " \t?#") {
		return fmt.Errorf("%q: %q is not a host", s, host)
	}
	return nil
}
