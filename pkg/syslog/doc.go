// Package syslog sends lines to a syslog server, each as a message of RFC 5424:
// as datagrams over UDP (RFC 5426) or a unix socket, or over TCP with counted
// octets (RFC 6587 3.4.1). Lines come with their headers, which [Header] makes,
// and a [Writer] frames and sends them.
//
// A Writer may block, for as long as its server is away but for [patience] at most,
// so that whoever must not wait puts a queue in front of it.
package syslog
