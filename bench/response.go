package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// errNoLength is for responses that do not say where they end.
var errNoLength = errors.New("a response has no Content-Length")

// parseResponse looks for one whole response at the beginning of buf and
// returns its size, 0 if more must come. Anything but a 200 with a
// Content-Length is an error.
func parseResponse(buf []byte) (size int, err error) {
	end := bytes.Index(buf, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	head := buf[:end]
	status, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(status) < 12 || !bytes.HasPrefix(status, []byte("HTTP/1.")) || !bytes.Equal(status[8:12], []byte(" 200")) {
		return 0, fmt.Errorf("unexpected status line %q", status)
	}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err != nil || n < 0 {
				return 0, fmt.Errorf("cannot read Content-Length %q: %w", value, err)
			}
			if total := end + 4 + n; total <= len(buf) {
				return total, nil
			}
			return 0, nil
		}
	}
	return 0, errNoLength
}
