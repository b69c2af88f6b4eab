package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Auth is a file of users that listeners and routes ask clients for, by its
// name.
type Auth struct {
	Name    string
	File    string // as Apache's htpasswd writes it
	Realm   string // that clients are shown; empty: Name
	Forward bool   // backends get the credentials
}

// AuthOff is what a route says that lets everybody in, whatever its listener
// says.
const AuthOff = "off"

// ParseAuth reads NAME=FILE[,key=value...].
func ParseAuth(spec string) (Auth, error) {
	var a Auth
	head, options, err := cutSpec(spec)
	if err != nil {
		return a, err
	}
	name, file, ok := strings.Cut(head, "=")
	if !ok {
		return a, fmt.Errorf("want NAME=FILE[,key=value...], such as staff=/etc/sluice/htpasswd")
	}
	a.Name, a.File = name, file
	if err := apply(&a, options); err != nil {
		return a, err
	}
	return a, a.check()
}

func (a *Auth) keys() []string { return []string{"name", "file", "realm", "forward"} }

func (a *Auth) set(key, value string) (err error) {
	switch key {
	case "name":
		a.Name = value
	case "file":
		a.File = value
	case "realm":
		if a.Realm = value; strings.ContainsFunc(value, isControl) {
			err = fmt.Errorf("realm=%q has control characters", value)
		}
	case "forward":
		a.Forward, err = boolean(key, value)
	}
	return err
}

func (a *Auth) check() error {
	switch {
	case !isToken(a.Name) || a.Name == AuthOff:
		return fmt.Errorf("%q cannot be a name", a.Name)
	case a.File == "":
		return fmt.Errorf("%s has no file", a.Name)
	}
	return nil
}

// UnmarshalYAML reads the line of ParseAuth or a mapping with name, file and its
// keys.
func (a *Auth) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, a, ParseAuth) }

// String returns the line that ParseAuth reads.
func (a Auth) String() string {
	options := []pair{{"realm", a.Realm}}
	if a.Forward {
		options = append(options, pair{"forward", "true"})
	}
	return line(a.Name+"="+a.File, options...)
}

// MarshalText is String.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// AuthName is what a listener or a route says of Auth: a name, empty for
// nothing.
type AuthName struct{ Auth string }

func (a *AuthName) keys() []string { return []string{"auth"} }

func (a *AuthName) set(_, value string) error {
	if a.Auth = value; value == "" {
		return fmt.Errorf("auth= is empty; a route without is auth=%s", AuthOff)
	}
	return nil
}

func (a *AuthName) pairs() []pair { return []pair{{"auth", a.Auth}} }

// auths checks the files of users and who asks for them.
func (v *validation) auths() {
	c := v.c
	names := make(map[string]bool)
	for _, a := range c.Auths {
		if names[a.Name] {
			v.add("auth", "%q is set twice", a.Name)
		}
		names[a.Name] = true
	}
	want := func(setting, what, name string) {
		if name != "" && name != AuthOff && !names[name] {
			v.add(setting, "%q has auth=%s, but there is no --auth %s=FILE", what, name, name)
		}
	}
	for _, l := range c.L7 {
		want("l7", l.Addr, l.Auth)
	}
	for _, r := range c.Routes {
		want("route", r.Host+r.Path, r.Auth)
	}
	for _, a := range c.Auths {
		used := slices.ContainsFunc(c.L7, func(l L7) bool { return l.Auth == a.Name }) ||
			slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Auth == a.Name })
		if !used && c.ConsulTags == "" {
			v.add("auth", "%q is never used; no --l7 or --route has auth=%s", a.Name, a.Name)
		}
	}
}
