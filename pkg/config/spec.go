package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A listener, route, backend or service is written in one line, as a flag or
// a YAML string,
//
//	HEAD[,key=value...]
//
// in which \, is a comma that belongs to a value; or as a YAML mapping whose keys are those of the line, with the parts of
// the head under names of their own. Both end in the same set methods.

// pair is one key and its value.
type pair struct{ key, value string }

// settable is a thing that pairs can be set on.
type settable interface {
	set(key, value string) error
	keys() []string
}

// lister is a settable of which some keys may come more than once.
type lister interface {
	lists(key string) bool
}

// apply sets pairs on x; a key must be known and come once, unless it lists.
func apply(x settable, pairs []pair) error {
	var seen []string
	for _, p := range pairs {
		if !slices.Contains(x.keys(), p.key) {
			return fmt.Errorf("unknown key %q; known are %s", p.key, strings.Join(x.keys(), ", "))
		}
		l, ok := x.(lister)
		if slices.Contains(seen, p.key) && !(ok && l.lists(p.key)) {
			return fmt.Errorf("key %q comes twice", p.key)
		}
		seen = append(seen, p.key)
		if err := x.set(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

// cutSpec splits a line into its head and its options. An option without a key
// is more of the list before it, as in alpn=h2,http/1.1; a comma that belongs to
// another value is written as \,.
func cutSpec(spec string) (head string, options []pair, err error) {
	head, rest, more := cutComma(spec)
	for more {
		var option string
		option, rest, more = cutComma(rest)
		key, value, ok := strings.Cut(option, "=")
		if last := len(options) - 1; !ok && option != "" && last >= 0 && (options[last].key == "alpn" || options[last].key == "failover") {
			options[last].value += "," + option
			continue
		}
		if !ok || key == "" {
			return "", nil, fmt.Errorf("option %q is not key=value", option)
		}
		options = append(options, pair{key, value})
	}
	return head, options, nil
}

// cutComma cuts s at its first comma that has no backslash before it, and takes
// those backslashes off what comes before.
func cutComma(s string) (before, after string, found bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ',':
			i++
		case s[i] == ',':
			return b.String(), s[i+1:], true
		}
		b.WriteByte(s[i])
	}
	return b.String(), "", false
}

// mapping returns the pairs of a YAML mapping that is to be set on x.
func mapping(n *yaml.Node, x settable) ([]pair, error) {
	if n.Kind != yaml.MappingNode {
		return nil, yamlError(n, errors.New("want a string or a mapping"))
	}
	var pairs []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		values := []*yaml.Node{v}
		if l, ok := x.(lister); ok && l.lists(k.Value) && v.Kind == yaml.SequenceNode {
			values = v.Content
		}
		for _, v := range values {
			if v.Kind != yaml.ScalarNode {
				return nil, yamlError(v, fmt.Errorf("%s wants a single value", k.Value))
			}
			pairs = append(pairs, pair{k.Value, v.Value})
		}
	}
	return pairs, nil
}

// unmarshal reads x from a YAML string, by parse, or from a mapping.
func unmarshal[T any, P interface {
	*T
	settable
	check() error
}](n *yaml.Node, x P, parse func(string) (T, error)) error {
	if n.Kind == yaml.ScalarNode {
		v, err := parse(n.Value)
		if err != nil {
			return yamlError(n, fmt.Errorf("%q: %w", n.Value, err))
		}
		*x = v
		return nil
	}
	pairs, err := mapping(n, x)
	if err != nil {
		return err
	}
	if err := apply(x, pairs); err != nil {
		return yamlError(n, err)
	}
	if err := x.check(); err != nil {
		return yamlError(n, err)
	}
	return nil
}

// yamlError says that err is about n, in the form of which the decoder
// collects all.
func yamlError(n *yaml.Node, err error) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", n.Line, err)}}
}

// line puts a spec together, leaving out options without a value.
func line(head string, options ...pair) string {
	escape := strings.NewReplacer(",", `\,`)
	head = escape.Replace(head)
	for _, o := range options {
		if o.value != "" {
			head += "," + o.key + "=" + escape.Replace(o.value)
		}
	}
	return head
}

func nonzero(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func count(key, value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%q is not a number from 0 up", key, value)
	}
	return n, nil
}

func duration(key, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s=%q is not a duration such as 5s", key, value)
	}
	return d, nil
}

func boolean(key, value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s=%q is neither true nor false", key, value)
	}
	return b, nil
}

// toggle reads a boolean that something may leave to others.
func toggle(key, value string) (*bool, error) {
	b, err := boolean(key, value)
	if err != nil {
		return nil, err
	}
	return &b, nil
}

// serviceName checks the name of a service, which becomes a metric label.
func serviceName(s string) error {
	if s == "" {
		return fmt.Errorf("the service has no name")
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r) {
			return fmt.Errorf("service name %q has a character other than letters, digits, dot, dash and underscore", s)
		}
	}
	return nil
}

// anyHost returns an address to listen on in which "*" for the host, as HAProxy
// and nginx have it, is left out.
func anyHost(addr string) string {
	if port, ok := strings.CutPrefix(addr, "*:"); ok {
		return ":" + port
	}
	return addr
}

// Passed begins the address of a listener whose socket is passed to the process,
// by systemd: fd@NAME, or fd@N with its number.
const Passed = "fd@"

// frontAddr checks where a listener of the data path listens.
func frontAddr(s string) error {
	if name, ok := strings.CutPrefix(s, Passed); ok {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return fmt.Errorf("address %q is not fd@NAME, with the name or number of a socket that systemd passes", s)
		}
		return nil
	}
	return listenAddr(s)
}

// listenAddr checks an address to listen on; the host may be empty.
func listenAddr(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("address %q is not [HOST]:PORT", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("port %q of %q is not a number from 0 to 65535", port, s)
	}
	if strings.ContainsAny(host, " \t/=@*") {
		return fmt.Errorf("host %q of %q is not a host", host, s)
	}
	return nil
}

// Keys returns the keys that the items of a repeatable setting may have, those
// included that are the parts of the line's head; nil if it has none.
func Keys(setting string) []string {
	switch setting {
	case "l4":
		return (&L4{}).keys()
	case "l7":
		return (&L7{}).keys()
	case "route":
		return (&Route{}).keys()
	case "backend":
		return (&Backend{}).keys()
	case "service":
		return (&Service{}).keys()
	case "register":
		return (&Register{}).keys()
	case "auth":
		return (&Auth{}).keys()
	}
	return nil
}
