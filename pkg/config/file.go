package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load reads the YAML (or JSON) file at path over c: a setting that the file
// has replaces c's. It returns the names of those settings. Unknown settings
// are errors. All that is wrong is in the error, joined; each part is a Problem
// of the setting "config".
func (c *Config) Load(path string) (settings []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, Problem{"config", fmt.Sprintf("cannot read %q: %v", path, unwrapPath(err))}
	}
	settings, problems := skim(data)
	for i, e := range problems {
		problems[i] = Problem{"config", path + ": " + e.Error()}
	}
	return settings, errors.Join(append(problems, c.decode(path, data))...)
}

// skim returns which settings a document has, and complains of numbers that
// YAML reads otherwise than they look: 010 is eight to it, 1_0 ten.
func skim(data []byte) (settings []string, problems []error) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, nil // decode says what is wrong
	}
	pairs := doc.Content[0].Content
	for i := 0; i+1 < len(pairs); i += 2 {
		name, v := pairs[i].Value, pairs[i+1]
		settings = append(settings, name)
		if v.Kind != yaml.ScalarNode || v.Tag != "!!int" {
			continue
		}
		if n, err := strconv.Atoi(v.Value); err != nil || strconv.Itoa(n) != v.Value {
			problems = append(problems, fmt.Errorf("line %d: %s: %s is not a plain decimal number", v.Line, name, v.Value))
		}
	}
	return settings, problems
}

// decode sets what a document has on c.
func (c *Config) decode(path string, data []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	err := d.Decode(c)
	if err == nil || errors.Is(err, io.EOF) {
		return nil // an empty file sets nothing
	}
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return Problem{"config", fmt.Sprintf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	var problems []error
	for _, e := range te.Errors {
		problems = append(problems, Problem{"config", path + ": " + plain(e)})
	}
	return errors.Join(problems...)
}

// plain rewords the decoder's complaint about an unknown field, which speaks
// of Go types.
func plain(s string) string {
	re := regexp.MustCompile(`field (\S+) not found in type \S+`)
	return re.ReplaceAllString(s, `unknown setting "$1"`)
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
	return m, nil
}
