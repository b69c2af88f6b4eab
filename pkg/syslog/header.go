package syslog

import (
	"os"
	"strconv"
	"time"
)

// The severities of RFC 5424 6.2.1 that are used.
const (
	warning       = 4
	informational = 6
)

// timestamp has as many digits of a second as RFC 5424 6.2.3 allows.
const timestamp = "2006-01-02T15:04:05.000000Z07:00"

// Header makes the headers of messages of this process.
type Header struct {
	facility int
	rest     string // what comes after the time
}

// NewHeader returns what makes the headers of messages of a facility, 0 to 23,
// from the program app, whose kind is id. Both are printable ASCII without blanks.
func NewHeader(facility int, app, id string) Header {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	return Header{facility: facility, rest: " " + host + " " + app + " " + strconv.Itoa(os.Getpid()) + " " + id + " - "}
}

// Append appends the header of a message from that time, which is a warning or
// just says something.
func (h Header) Append(dst []byte, at time.Time, warns bool) []byte {
	severity := informational
	if warns {
		severity = warning
	}
	dst = append(dst, '<')
	dst = strconv.AppendInt(dst, int64(h.facility*8+severity), 10)
	dst = append(dst, ">1 "...)
	dst = at.AppendFormat(dst, timestamp)
	return append(dst, h.rest...)
}
