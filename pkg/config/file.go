package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Load reads the YAML (or JSON) file at path over c: a setting that the file
// has replaces c's. It returns the names of those settings. Unknown settings
// are errors. All that is wrong is in the error, joined; each part is a Problem
// of the setting "config".
func (c *Config) Load(path string) (settings []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, Problem{Setting: "config", Reason: fmt.Sprintf("cannot read %q: %v", path, unwrapPath(err))}
	}
	var doc yaml.Node // an empty file leaves it so, and sets nothing
	problems := complaints(yaml.Unmarshal(data, &doc))
	if len(problems) == 0 && doc.Kind != 0 {
		settings, problems = skim(&doc)
		problems = append(problems, complaints(doc.Decode(c))...)
	}
	for i, e := range problems {
		problems[i] = Problem{Setting: "config", Reason: path + ": " + e.Error()}
	}
	return settings, errors.Join(problems...)
}

// skim returns which settings a document has, and complains of those that do
// not exist and of numbers that YAML reads otherwise than they look: 010 is
// eight to it, 1_0 ten. What YAML has a form of its own for, it brings into that
// which the command line has.
func skim(doc *yaml.Node) (settings []string, problems []error) {
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, nil // decoding says what is wrong
	}
	types := settingTypes()
	pairs := doc.Content[0].Content
	kept := pairs[:0:0]
	for i := 0; i+1 < len(pairs); i += 2 {
		name, v := pairs[i].Value, pairs[i+1]
		t, known := types[name]
		if !known {
			problems = append(problems, fmt.Errorf("line %d: unknown setting %q", pairs[i].Line, name))
			continue
		}
		kept = append(kept, pairs[i], v)
		settings = append(settings, name)
		asTyped(name, t, v)
		if v.Kind != yaml.ScalarNode || v.Tag != "!!int" {
			continue
		}
		if n, err := strconv.Atoi(v.Value); err != nil || strconv.Itoa(n) != v.Value {
			problems = append(problems, fmt.Errorf("line %d: %s: %s is not a plain decimal number", v.Line, name, v.Value))
			kept = kept[:len(kept)-2]
		}
	}
	doc.Content[0].Content = kept
	return settings, problems
}

// settingTypes returns the types of all settings by their names.
func settingTypes() map[string]reflect.Type {
	types := make(map[string]reflect.Type)
	addSettings(types, reflect.TypeFor[Config]())
	return types
}

func addSettings(types map[string]reflect.Type, of reflect.Type) {
	for f := range of.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			addSettings(types, f.Type)
			continue
		}
		types[name] = f.Type
	}
}

// asTyped makes of v, the value of a setting, what it is on the command line:
// 0 is a duration, 50% a number of percent, and a list is what has commas.
func asTyped(name string, t reflect.Type, v *yaml.Node) {
	scalar := v.Kind == yaml.ScalarNode
	switch {
	case t == reflect.TypeFor[time.Duration]() && scalar && v.Value == "0":
		v.Value, v.Tag = "0s", "!!str"
	case isPercentage(name) && scalar && strings.HasSuffix(v.Value, "%"):
		v.Value, v.Tag, v.Style = strings.TrimSuffix(v.Value, "%"), "!!int", 0
	case v.Kind == yaml.SequenceNode && (name == "consul" || name == "access-log-fields"):
		var parts []string
		for _, e := range v.Content {
			if e.Kind != yaml.ScalarNode {
				return
			}
			parts = append(parts, e.Value)
		}
		*v = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.Join(parts, ","), Line: v.Line, Column: v.Column}
	}
}

// isPercentage reports whether a setting is a number of percent, which may have
// the sign.
func isPercentage(name string) bool {
	return name == "max-ejection" || name == "panic-threshold" || name == "retry-budget"
}

// complaints returns what the decoder complains of.
func complaints(err error) (all []error) {
	var te *yaml.TypeError
	switch {
	case err == nil:
	case errors.As(err, &te):
		for _, e := range te.Errors {
			all = append(all, errors.New(plain(e)))
		}
	default:
		all = append(all, errors.New(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	return all
}

// plain rewords the decoder's complaints that speak of Go types.
func plain(s string) string {
	re := regexp.MustCompile("cannot unmarshal \\S+ `(.*)` into time.Duration")
	return re.ReplaceAllString(s, `"$1" is not a duration such as 5s`)
}

// unwrapPath returns what is wrong without the path, which the caller names.
func unwrapPath(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Settings returns c as a tree of maps, lists and plain values with the
// settings' names as keys and secrets masked, ready to be encoded.
func (c *Config) Settings() (map[string]any, error) {
	data, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the configuration: %w", err)
	}
	var m map[string]any
	if err := yaml.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("cannot decode the configuration: %w", err)
	}
	shown(m)
	return m, nil
}
