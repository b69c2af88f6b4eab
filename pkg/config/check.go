package config

import (
	"fmt"
	"slices"
	"strings"

	"sluice/pkg/health"
)

// checkWay is how a service's backends are checked, as its keys say it: check=,
// and keys of their own for the options of it.
type checkWay struct{ base, options string }

func (w *checkWay) keys() []string {
	return []string{
		"check", "check-port", "check-host", "check-method", "check-status", "check-body", "check-header", "check-send", "check-expect",
	}
}

func (w *checkWay) lists(key string) bool {
	return slices.Contains([]string{"check-header", "check-send", "check-expect"}, key)
}

// set takes a key. Options are put behind check= in the order in which they
// come.
func (w *checkWay) set(key, value string) {
	if key == "check" {
		w.base = value
		return
	}
	option := strings.TrimPrefix(key, "check-")
	switch {
	case len(value) > 1 && strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`): // written as in check=
	case option == "send" || option == "expect":
		value = quoted(value)
	default:
		value = health.Quote(value)
	}
	w.options += " " + option + "=" + value
}

// quoted returns a text with \r, \n and the like in it as health reads it in
// quotes.
func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

// spec returns the whole as health.ParseCheck reads it, or nothing without
// check=.
func (w *checkWay) spec() string {
	if w.base == "" {
		return ""
	}
	return w.base + w.options
}

// check checks that spec is a check.
func (w *checkWay) check(spec string) error {
	if spec == "" {
		if w.options != "" {
			return fmt.Errorf("check-%s needs check=tcp or check=http:/PATH", strings.TrimSpace(w.options))
		}
		return nil
	}
	_, err := health.ParseCheck(spec, health.Via{})
	return err
}
