package ecs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is a CloudFormation template with all that is computed left open.
type Template struct {
	parameters map[string]any // by name, an example of each
	conditions map[string]any
	resources  map[string]any
	holds      bool // the value that every condition is taken to have
	refs       []string
}

// omitted stands for what a template leaves out, AWS::NoValue.
type omitted struct{}

// Read reads a template in YAML and resolves what is computed in it to examples,
// with all conditions true or false.
func Read(data []byte, holds bool) (*Template, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, err
	}
	t := &Template{parameters: make(map[string]any), holds: holds}
	whole, ok := t.value(root.Content[0]).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the template is no mapping")
	}
	t.resources, _ = whole["Resources"].(map[string]any)
	t.conditions, _ = whole["Conditions"].(map[string]any)
	for name, p := range whole["Parameters"].(map[string]any) {
		t.parameters[name] = example(p.(map[string]any))
	}
	// Again, now that the parameters are known.
	t.refs = nil
	whole = t.value(root.Content[0]).(map[string]any)
	t.resources = whole["Resources"].(map[string]any)
	for _, r := range t.refs {
		name, _, _ := strings.Cut(r, ".")
		if _, param := t.parameters[r]; !param && t.resources[name] == nil && !strings.HasPrefix(r, "AWS::") {
			return nil, fmt.Errorf("there is no parameter and no resource %q", r)
		}
	}
	for name, r := range t.resources {
		if c, ok := r.(map[string]any)["Condition"].(string); ok && (t.conditions[c] == nil) {
			return nil, fmt.Errorf("%s: there is no condition %q", name, c)
		}
	}
	return t, nil
}

// example returns a value that a parameter may have.
func example(p map[string]any) any {
	kind, _ := p["Type"].(string)
	switch value := p["Default"]; {
	case strings.HasPrefix(kind, "List<"):
		return []any{"one", "two"}
	case value != nil && value != "":
		return value
	case kind == "Number":
		return 1
	}
	return "example"
}

// value returns what a node stands for.
func (t *Template) value(n *yaml.Node) any {
	switch n.Tag {
	case "!Ref":
		t.refs = append(t.refs, n.Value)
		if n.Value == "AWS::NoValue" {
			return omitted{}
		}
		if p, ok := t.parameters[n.Value]; ok {
			return p
		}
		return "example"
	case "!GetAtt":
		t.refs = append(t.refs, n.Value)
		return "example"
	case "!Sub":
		return regexp.MustCompile(`\$\{([^}]+)\}`).ReplaceAllStringFunc(n.Value, func(s string) string {
			name := s[2 : len(s)-1]
			t.refs = append(t.refs, name)
			if p, ok := t.parameters[name]; ok {
				return fmt.Sprint(p)
			}
			return "example"
		})
	case "!If":
		if t.conditions != nil && t.conditions[n.Content[0].Value] == nil {
			t.refs = append(t.refs, "condition "+n.Content[0].Value)
		}
		if t.holds {
			return t.value(n.Content[1])
		}
		return t.value(n.Content[2])
	case "!Equals", "!Not":
		for _, c := range n.Content {
			t.value(c)
		}
		return true
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any)
		for i := 0; i < len(n.Content); i += 2 {
			if v := t.value(n.Content[i+1]); v != (omitted{}) {
				m[n.Content[i].Value] = v
			}
		}
		return m
	case yaml.SequenceNode:
		s := []any{}
		for _, c := range n.Content {
			if v := t.value(c); v != (omitted{}) {
				s = append(s, v)
			}
		}
		return s
	}
	var v any
	if n.Decode(&v) != nil {
		return n.Value
	}
	return v
}

// Resources returns the resources that there are, as AWS's schema has them.
func (t *Template) Resources() map[string]any {
	all := make(map[string]any)
	for name, r := range t.resources {
		m := maps.Clone(r.(map[string]any))
		if _, conditional := m["Condition"]; conditional && !t.holds {
			continue
		}
		all[name] = m
	}
	return all
}

// Names returns the names of the resources, in order.
func (t *Template) Names() []string { return slices.Sorted(maps.Keys(t.Resources())) }
