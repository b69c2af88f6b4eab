package config

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// UnixAddress is a unix socket, as an address of the control plane names it.
type UnixAddress struct {
	Path  string
	Mode  os.FileMode // 0600 unless it is given
	Group string      // name or number; empty: that of the process
}

// ParseUnix reads unix:PATH[,mode=0660][,group=NAME] and reports whether s is
// one.
func ParseUnix(s string) (a UnixAddress, isUnix bool, err error) {
	rest, isUnix := strings.CutPrefix(s, "unix:")
	if !isUnix {
		return a, false, nil
	}
	path, options, _ := strings.Cut(rest, ",")
	a = UnixAddress{Path: path, Mode: 0o600}
	if strings.HasPrefix(path, "//") {
		a.Path = strings.TrimPrefix(path, "/")
	}
	if a.Path == "" || len(a.Path) > 100 {
		return a, true, fmt.Errorf("%q has no path of a socket, of 100 bytes at most", s)
	}
	for options != "" {
		var option string
		option, options, _ = strings.Cut(options, ",")
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "mode":
			n, err := strconv.ParseUint(value, 8, 32)
			if err != nil || n > 0o777 {
				return a, true, fmt.Errorf("mode=%q is not a number such as 0660", value)
			}
			a.Mode = os.FileMode(n)
		case "group":
			if a.Group = value; value == "" {
				return a, true, errors.New("group= names no group")
			}
		default:
			return a, true, fmt.Errorf("unknown key %q; known are mode, group", key)
		}
	}
	return a, true, nil
}
