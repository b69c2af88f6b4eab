package control

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"sluice/pkg/balance"
	"sluice/pkg/config"
)

// serviceKey checks values as the key of --service does.
func serviceKey(key string) func(Target, string) (string, error) {
	return func(_ Target, v string) (string, error) {
		if v == "" {
			return "", errors.New("it has no value")
		}
		s := config.Service{Name: "x"} // of which nothing lacks what it needs
		s.Rate = 1
		if err := s.Set(key, v); err != nil {
			return "", err
		}
		return strings.TrimSuffix(v, "%"), nil
	}
}

func strategy(_ Target, v string) (string, error) {
	if v = balance.Canonical(v); !balance.Valid(v) {
		return "", errors.New("there is no such strategy")
	}
	return v, nil
}

func nothing(_ Target, v string) (string, error) {
	if v != "" && v != "true" {
		return "", errors.New("it takes no value")
	}
	return "", nil
}

func orNothing(check func(Target, string) (string, error)) func(Target, string) (string, error) {
	return func(t Target, v string) (string, error) {
		if v == "" || v == "true" {
			return "", nil
		}
		return check(t, v)
	}
}

func oneOf(allowed ...string) func(Target, string) (string, error) {
	return func(_ Target, v string) (string, error) {
		if v = strings.ToLower(v); slices.Contains(allowed, v) {
			return v, nil
		}
		return "", errors.New("it is none of the allowed values")
	}
}

func boolean(_ Target, v string) (string, error) {
	switch strings.ToLower(v) {
	case "true", "on", "yes", "1":
		return "true", nil
	case "false", "off", "no", "0":
		return "false", nil
	}
	return "", errors.New("it is neither true nor false")
}

func number(least, most int) func(Target, string) (string, error) {
	return func(_ Target, v string) (string, error) {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return "", fmt.Errorf("it is not a number from %d to %d", least, most)
		}
		return strconv.Itoa(n), nil
	}
}

func percent(_ Target, v string) (string, error) {
	v = strings.TrimSuffix(v, "%")
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > 100 {
		return "", errors.New("it is not a percentage from 0 to 100")
	}
	return strconv.Itoa(n), nil
}

func duration(least, most time.Duration) func(Target, string) (string, error) {
	return func(_ Target, v string) (string, error) {
		d, err := ParseDuration(v)
		if err != nil || d < least || d > most {
			return "", fmt.Errorf("it is not a duration from %v to %v, such as 30s", least, most)
		}
		return d.String(), nil
	}
}

// ParseDuration reads a duration as time.ParseDuration does, with d for days,
// or a plain number of seconds.
func ParseDuration(v string) (time.Duration, error) {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 10m", v)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 10m", v)
	}
	return d, nil
}

// orOff is serviceKey of a key that may be turned off, which no configuration
// says.
func orOff(key string) func(Target, string) (string, error) {
	return func(t Target, v string) (string, error) {
		if v == "off" || v == "0" {
			return "off", nil
		}
		return serviceKey(key)(t, v)
	}
}

func text(_ Target, v string) (string, error) {
	if strings.ContainsFunc(v, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		return "", errors.New("it has control characters")
	}
	if v == "true" || v == "on" {
		v = ""
	}
	return v, nil
}

func member(t Target, v string) (string, error) {
	b, err := config.ParseMember(cmpOr(t.Service, "x"), cmpOr(t.Name, "x:1"), v)
	if err != nil {
		return "", err
	}
	return b.Options(), nil
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func route(_ Target, v string) (string, error) {
	r, err := config.ParseRoute(v)
	if err != nil {
		return "", err
	}
	return r.String(), nil
}

func listener(_ Target, v string) (string, error) {
	l, err := ParseListener(v)
	if err != nil {
		return "", err
	}
	return l.String(), nil
}

// ListenerSpec is a listener that an operator adds: one of its parts is set.
type ListenerSpec struct {
	L4 *config.L4
	L7 *config.L7
}

// ParseListener reads l4 or l7, a space, and what the flag of that name takes.
func ParseListener(v string) (ListenerSpec, error) {
	kind, spec, _ := strings.Cut(strings.TrimSpace(v), " ")
	switch kind {
	case "l4":
		l, err := config.ParseL4(strings.TrimSpace(spec))
		return ListenerSpec{L4: &l}, err
	case "l7":
		l, err := config.ParseL7(strings.TrimSpace(spec))
		return ListenerSpec{L7: &l}, err
	}
	return ListenerSpec{}, fmt.Errorf("%q begins with neither l4 nor l7", Shorten(v))
}

// Key returns the name of the target that l is.
func (l ListenerSpec) Key() string {
	if l.L4 != nil {
		return l.L4.Key()
	}
	return l.L7.Addr
}

// String returns what ParseListener reads.
func (l ListenerSpec) String() string {
	if l.L4 != nil {
		return "l4 " + l.L4.String()
	}
	return "l7 " + l.L7.String()
}

// WeightChange is what an operator wants of a backend's weight: a weight, or a
// factor of what its source says.
type WeightChange struct {
	Weight int
	Factor float64 // 0 unless IsFactor
	// IsFactor says that Factor counts, and not Weight.
	IsFactor bool
}

// Of returns the weight of a backend of which its source says weight. A factor
// above 0 makes no weight above 0 vanish.
func (w WeightChange) Of(weight int) int {
	if !w.IsFactor {
		return w.Weight
	}
	n := int(math.Round(float64(weight) * w.Factor))
	if n == 0 && weight > 0 && w.Factor > 0 {
		n = 1
	}
	return min(n, maxWeight)
}

// Zero reports whether a backend gets no new connections.
func (w WeightChange) Zero() bool { return w.IsFactor && w.Factor == 0 || !w.IsFactor && w.Weight == 0 }

const maxWeight = 65535

// ParseWeight reads a number, a factor with x behind it, or a percentage.
func ParseWeight(v string) (WeightChange, error) {
	bad := fmt.Errorf("it is neither a number from 0 to %d nor a factor such as 0.5x or 50%%", maxWeight)
	factor, isFactor := strings.CutSuffix(v, "x")
	if !isFactor {
		if factor, isFactor = strings.CutSuffix(v, "%"); !isFactor {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 || n > maxWeight {
				return WeightChange{}, bad
			}
			return WeightChange{Weight: n}, nil
		}
	}
	if factor == "" || strings.Trim(factor, "0123456789.") != "" {
		return WeightChange{}, bad
	}
	f, err := strconv.ParseFloat(factor, 64)
	if strings.HasSuffix(v, "%") {
		f /= 100
	}
	if err != nil || f > 100 {
		return WeightChange{}, bad
	}
	return WeightChange{Factor: f, IsFactor: true}, nil
}

func weight(_ Target, v string) (string, error) {
	w, err := ParseWeight(v)
	if err != nil {
		return "", err
	}
	if w.IsFactor {
		return strconv.FormatFloat(w.Factor, 'g', -1, 64) + "x", nil
	}
	return strconv.Itoa(w.Weight), nil
}

// CanaryChange leads a part of a service's clients elsewhere. One of its first
// three fields is set.
type CanaryChange struct {
	Service string  // another service
	Backend string  // one backend, HOST:PORT
	Tag     string  // the service's own backends with this tag
	Percent float64 // of clients, 0 to 100
}

// ParseCanary reads TARGET:PERCENT; TARGET is as the package's doc says.
func ParseCanary(v string) (c CanaryChange, err error) {
	i := strings.LastIndexByte(v, ':')
	if i <= 0 {
		return c, errors.New("it is not TARGET:PERCENT")
	}
	target, share := v[:i], strings.TrimSuffix(v[i+1:], "%")
	if share == "" || strings.Trim(share, "0123456789.") != "" {
		return c, errors.New("its percentage is not a number")
	}
	if c.Percent, err = strconv.ParseFloat(share, 64); err != nil || c.Percent > 100 {
		return c, errors.New("its percentage is not a number from 0 to 100")
	}
	tag, isTag := strings.CutPrefix(target, "tag=")
	switch {
	case isTag:
		if tag == "" || strings.ContainsFunc(tag, unicode.IsSpace) {
			return c, errors.New("its tag is none")
		}
		c.Tag = tag
	case strings.Contains(target, ":"):
		if c.Backend, err = ParseAddress(target); err != nil {
			return c, err
		}
	default:
		if s := (config.Service{}); s.Set("service", target) != nil {
			return c, fmt.Errorf("%q is not a service's name", target)
		}
		c.Service = target
	}
	return c, nil
}

// Has reports whether a member of the service is among those that the canary leads
// to, if it leads to some of the service's own.
func (c CanaryChange) Has(m Member) bool {
	return c.Backend != "" && c.Backend == m.Address || c.Tag != "" && slices.Contains(m.Tags, c.Tag)
}

// String returns what ParseCanary reads.
func (c CanaryChange) String() string {
	target := c.Service + c.Backend
	if c.Tag != "" {
		target = "tag=" + c.Tag
	}
	return target + ":" + strconv.FormatFloat(c.Percent, 'g', -1, 64)
}

func canary(_ Target, v string) (string, error) {
	c, err := ParseCanary(v)
	if err != nil {
		return "", err
	}
	return c.String(), nil
}
