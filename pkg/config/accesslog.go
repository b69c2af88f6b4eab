package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Stdout is what the file of the access log is called that is standard output.
const Stdout = "-"

// AccessLogFormats are the forms of the access log's lines.
func AccessLogFormats() []string { return []string{"json", "text", "common", "combined"} }

// AccessFormat returns the form of the access log's lines.
func (c *Config) AccessFormat() string {
	if c.AccessLogFormat == "" {
		return c.LogFormat
	}
	return c.AccessLogFormat
}

// LoggedFields returns what lines of requests have by choice: what is asked for,
// and what their form has.
func (c *Config) LoggedFields() LogFields {
	var has []string
	switch c.AccessFormat() {
	case "common":
		has = []string{"query", "user"}
	case "combined":
		has = []string{"query", "user", "referer", "user-agent"}
	default:
		return c.AccessLogFields
	}
	for part := range strings.SplitSeq(string(c.AccessLogFields), ",") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(has, part) {
			has = append(has, part)
		}
	}
	return LogFields(strings.Join(has, ","))
}

// accessLog checks what is said about the access log.
func (v *validation) accessLog() {
	c := v.c
	if c.AccessLogFormat != "" && !slices.Contains(AccessLogFormats(), c.AccessLogFormat) {
		v.add("access-log-format", "unknown format %q; known are %s", c.AccessLogFormat, strings.Join(AccessLogFormats(), ", "))
	} else if c.AccessLogFormat != "" && !c.AccessLog {
		v.idle("access-log-format", "%q has no effect without --access-log", c.AccessLogFormat)
	}
	if _, err := c.AccessLogSyslog.Parse(); c.AccessLogSyslog != "" && err != nil {
		v.add("access-log-syslog", "%q: %v", string(c.AccessLogSyslog), err)
	}
	if _, err := c.AccessLogFields.Parse(); err != nil {
		v.add("access-log-fields", "%v", err)
	} else if c.AccessLogFields != "" && !c.AccessLog {
		v.idle("access-log-fields", "%q has no effect without --access-log", string(c.AccessLogFields))
	}
	if c.AccessLogSample < 1 {
		v.add("access-log-sample", "%d is below 1", c.AccessLogSample)
	}
}

// Syslog is a syslog server as it is written:
// udp://HOST[:PORT], tcp://HOST[:PORT] or unix:PATH, and then
// [,facility=NAME][,tag=NAME].
type Syslog string

// SyslogServer is one that was read.
type SyslogServer struct {
	Network  string // udp, tcp or unix
	Addr     string // host:port, or a path
	Facility int    // 0 to 23
	Tag      string // the name of the program
}

// facilities are those of RFC 5424, by the names of syslog.conf.
var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// maxSyslogTag is how long an APP-NAME may be (RFC 5424 6).
const maxSyslogTag = 48

// Parse reads s. Without a facility it is local0, without a tag sluice.
func (s Syslog) Parse() (server SyslogServer, err error) {
	server = SyslogServer{Facility: slices.Index(facilities, "local0"), Tag: "sluice"}
	parts := strings.Split(string(s), ",")
	network, addr, _ := strings.Cut(strings.TrimSpace(parts[0]), ":")
	server.Network = network
	switch network {
	case "udp", "tcp":
		port := map[string]string{"udp": "514", "tcp": "601"}[network] // RFC 5426, RFC 3195's and most TCP servers'
		if server.Addr = strings.TrimPrefix(addr, "//"); !hasPort(server.Addr) {
			server.Addr = net.JoinHostPort(strings.Trim(server.Addr, "[]"), port)
		}
		host, given, err := net.SplitHostPort(server.Addr)
		if n, bad := strconv.ParseUint(given, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
			return server, fmt.Errorf("want a host, and maybe a port, as in %s://logs.example:514", network)
		}
	case "unix", "unixgram":
		server.Network, server.Addr = "unix", strings.TrimPrefix(addr, "//")
		if !strings.HasPrefix(server.Addr, "/") {
			return server, fmt.Errorf("want the path of a socket, as in unix:/dev/log")
		}
	default:
		return server, fmt.Errorf("want udp://HOST[:PORT], tcp://HOST[:PORT] or unix:/dev/log")
	}
	for _, option := range parts[1:] {
		key, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch key {
		case "facility":
			if server.Facility = slices.Index(facilities, strings.ToLower(value)); server.Facility < 0 {
				return server, fmt.Errorf("unknown facility %q; known are %s", value, strings.Join(facilities, ", "))
			}
		case "tag":
			if value == "" || len(value) > maxSyslogTag || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return server, fmt.Errorf("tag=%q is not of 1 to %d characters that can be seen", value, maxSyslogTag)
			}
			server.Tag = value
		default:
			return server, fmt.Errorf("unknown key %q; known are facility, tag", key)
		}
	}
	return server, nil
}

// hasPort reports whether an address has a port, or should: an IPv6 address in
// brackets may do without, one without them has none.
func hasPort(addr string) bool {
	if strings.HasPrefix(addr, "[") {
		return strings.Contains(addr, "]:")
	}
	return strings.Count(addr, ":") == 1
}
