package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sluice/pkg/config"
)

// collector is a flag's value that keeps a complaint instead of returning it.
type collector struct {
	pflag.Value
	name string
	r    *reader
}

func (c *collector) Set(s string) error {
	old := ""
	_, list := c.Value.(repeatable)
	if !list { // which may be long, and takes nothing that it cannot read
		old = c.Value.String()
	}
	if err := c.Value.Set(s); err != nil {
		if !list {
			_ = c.Value.Set(old) // a number that cannot be read has become 0
		}
		var ne *strconv.NumError
		if errors.As(err, &ne) {
			err = ne.Err // the rest names functions of Go
		}
		if isSecret(c.name) {
			s = "***"
		}
		c.r.add("%s--%s: %q: %v", c.r.source, c.name, config.Shown(s), err)
	}
	return nil
}

// isSecret reports whether a flag's value must not be shown.
func isSecret(flag string) bool {
	return flag == "admin-token" || flag == "admin-read-token" || flag == "sticky-secret"
}

// listValue is a repeatable flag. The first value from a source replaces all
// from the sources before it.
type listValue[T any] struct {
	dst      *[]T
	parse    func(string) (T, error)
	kind     string
	appended bool
}

func list[T any](f *pflag.FlagSet, dst *[]T, parse func(string) (T, error), name, kind, usage string) {
	f.Var(&listValue[T]{dst: dst, parse: parse, kind: kind}, name, usage)
}

func isList(f *pflag.Flag) bool {
	_, ok := f.Value.(*collector).Value.(repeatable)
	return ok
}

// repeatable is a flag's value that is replaced by the first value from each
// source and grows by the others.
type repeatable interface{ startOver() }

func (l *listValue[T]) startOver() { l.appended = false }

func (l *listValue[T]) Set(s string) error {
	v, err := l.parse(s)
	if err != nil {
		return err
	}
	if !l.appended {
		*l.dst = nil
		l.appended = true
	}
	*l.dst = append(*l.dst, v)
	return nil
}

func (l *listValue[T]) Type() string { return l.kind }

// String returns the list as it may be shown.
func (l *listValue[T]) String() string {
	if l.dst == nil || len(*l.dst) == 0 {
		return ""
	}
	var parts []string
	for _, v := range *l.dst {
		parts = append(parts, config.Shown(fmt.Sprint(v)))
	}
	return strings.Join(parts, ";")
}
