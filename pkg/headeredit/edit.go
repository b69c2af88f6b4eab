package headeredit

import (
	"fmt"
	"slices"
	"strings"
)

// action is what an edit does.
type action uint8

const (
	set action = iota
	add
	remove
)

// Edit is one change of a head. Its zero value is none; Parse makes one.
type Edit struct {
	action action
	name   string // as it is written to the head
	prefix bool   // remove all names that begin so
	value  []part
}

// part is a piece of a value: a text, or a variable.
type part struct {
	text string
	of   Variable
	name string // of a Header, in lower case
}

// Message is the kind of message that an edit is for.
type Message uint8

const (
	Request Message = iota
	Response
)

// Parse reads set:NAME: VALUE, add:NAME: VALUE or remove:NAME. In a value,
// ${NAME} or $NAME is a variable and $$ a dollar.
func Parse(spec string, m Message) (Edit, error) {
	word, rest, ok := strings.Cut(spec, ":")
	var e Edit
	switch word {
	case "set":
	case "add":
		e.action = add
	case "remove", "del":
		e.action = remove
	default:
		ok = false
	}
	if !ok {
		return Edit{}, fmt.Errorf("%q is none of set:NAME: VALUE, add:NAME: VALUE and remove:NAME", spec)
	}
	name, value, hasValue := strings.Cut(rest, ":")
	e.name = strings.TrimSpace(name)
	if e.action == remove {
		e.name, e.prefix = strings.CutSuffix(e.name, "*")
	}
	switch {
	case hasValue != (e.action != remove):
		return Edit{}, fmt.Errorf("%q is none of set:NAME: VALUE, add:NAME: VALUE and remove:NAME", spec)
	case !isToken(e.name):
		return Edit{}, fmt.Errorf("%q is not the name of a header", e.name)
	}
	if why := refused(e.name, e.prefix, m); why != "" {
		return Edit{}, fmt.Errorf("%s %s", e.name, why)
	}
	if e.action == remove {
		return e, nil
	}
	value = strings.Trim(value, " \t")
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return Edit{}, fmt.Errorf("the value of %s has a control character", e.name)
	}
	var err error
	e.value, err = parseValue(value)
	return e, err
}

// refused says why a header cannot be touched, or nothing.
func refused(name string, prefix bool, m Message) string {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	framing := []string{
		"connection", "content-length", "expect", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	}
	if slices.ContainsFunc(framing, func(f string) bool { return f == name || prefix && strings.HasPrefix(f, name) }) {
		return "frames messages, or is for one connection only"
	}
	if m == Request && (name == "host" || prefix && strings.HasPrefix("host", name)) {
		return "is what rewrite-host= sets"
	}
	return ""
}

// String returns what Parse reads.
func (e Edit) String() string {
	switch e.action {
	case remove:
		if e.prefix {
			return "remove:" + e.name + "*"
		}
		return "remove:" + e.name
	case add:
		return strings.TrimRight("add:"+e.name+": "+e.text(), " ")
	}
	return strings.TrimRight("set:"+e.name+": "+e.text(), " ")
}

// text returns the value as it was written.
func (e *Edit) text() string {
	var b strings.Builder
	for _, p := range e.value {
		switch p.of {
		case none:
			b.WriteString(strings.ReplaceAll(p.text, "$", "$$"))
		case Header:
			b.WriteString("${header." + p.name + "}")
		default:
			b.WriteString("${" + p.of.String() + "}")
		}
	}
	return b.String()
}

// isToken reports whether s can be the name of a header (RFC 9110 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
