package headeredit

import (
	"fmt"
	"strings"
)

// Variable is something that is known of a request.
type Variable uint8

// Header is a header of the request, ${header.NAME}: of several lines the first
// one.
const (
	none       Variable = iota
	Client              // address of the client
	ClientPort          // port that the connection comes from
	Scheme              // http or https, as the client uses it
	Host                // that the client asks for, with a port if it named one
	Method
	Path  // of the target, in its normal form
	Query // of the target, without the question mark
	RequestID
	User // who the client is, by auth=; empty without
	Service
	Backend // address of the backend, empty if there is none
	Header
	variables
)

// String returns the name of the variable.
func (v Variable) String() string {
	switch v {
	case Client:
		return "client"
	case ClientPort:
		return "client_port"
	case Scheme:
		return "scheme"
	case Host:
		return "host"
	case Method:
		return "method"
	case Path:
		return "path"
	case Query:
		return "query"
	case RequestID:
		return "request_id"
	case User:
		return "user"
	case Service:
		return "service"
	case Backend:
		return "backend"
	case Header:
		return "header"
	}
	return fmt.Sprintf("variable(%d)", v)
}

// Names returns the names of all variables.
func Names() (all []string) {
	for v := none + 1; v < Header; v++ {
		all = append(all, v.String())
	}
	return append(all, "header.NAME")
}

// Values knows the values of variables. Name is that of a Header, in lower
// case. What is appended must be fit for a header's value.
type Values interface {
	AppendVariable(dst []byte, v Variable, name string) []byte
}

// parseValue splits a value into texts and variables.
func parseValue(s string) (parts []part, err error) {
	text := func(t string) {
		if t == "" {
			return
		}
		if n := len(parts); n > 0 && parts[n-1].of == none {
			parts[n-1].text += t
		} else {
			parts = append(parts, part{text: t})
		}
	}
	for {
		before, after, found := strings.Cut(s, "$")
		text(before)
		if !found {
			return parts, nil
		}
		if rest, ok := strings.CutPrefix(after, "$"); ok {
			text("$")
			s = rest
			continue
		}
		var name string
		if rest, ok := strings.CutPrefix(after, "{"); ok {
			if name, s, ok = strings.Cut(rest, "}"); !ok {
				return nil, fmt.Errorf("${%s is not closed", rest)
			}
		} else {
			n := strings.IndexFunc(after, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' })
			if n < 0 {
				n = len(after)
			}
			name, s = after[:n], after[n:]
		}
		p, ok := variable(name)
		if !ok {
			return nil, fmt.Errorf("$%s is not known; known are %s; a dollar is written as $$", name, strings.Join(Names(), ", "))
		}
		parts = append(parts, p)
	}
}

func variable(name string) (part, bool) {
	if header, ok := strings.CutPrefix(name, "header."); ok {
		return part{of: Header, name: strings.ToLower(header)}, isToken(header)
	}
	for v := none + 1; v < Header; v++ {
		if v.String() == name {
			return part{of: v}, true
		}
	}
	return part{}, false
}
