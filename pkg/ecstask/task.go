package ecstask

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Task is what matters of a task definition.
type Task struct {
	NetworkMode             string      `json:"networkMode"`
	RequiresCompatibilities []string    `json:"requiresCompatibilities"`
	CPU                     string      `json:"cpu"`
	Memory                  string      `json:"memory"`
	ContainerDefinitions    []Container `json:"containerDefinitions"`
}

// Container is one of its containers.
type Container struct {
	Name         string   `json:"name"`
	Image        string   `json:"image"`
	EntryPoint   []string `json:"entryPoint"`
	Command      []string `json:"command"`
	Essential    *bool    `json:"essential"` // unset is true
	StopTimeout  *int     `json:"stopTimeout"`
	Environment  []Pair   `json:"environment"`
	Secrets      []Pair   `json:"secrets"`
	PortMappings []Port   `json:"portMappings"`
	HealthCheck  *struct {
		Command []string `json:"command"`
	} `json:"healthCheck"`
	Ulimits []struct {
		Name      string `json:"name"`
		SoftLimit int    `json:"softLimit"`
	} `json:"ulimits"`
	ReadonlyRootFilesystem bool `json:"readonlyRootFilesystem"`
}

// Port is a port of the container that others can be given.
type Port struct {
	ContainerPort int `json:"containerPort"`
}

// Pair is a variable of the environment. A secret has no value here.
type Pair struct{ Name, Value string }

// Parse reads a task definition in JSON: as it is registered, or as it is
// described, within "taskDefinition".
func Parse(data []byte) (*Task, error) {
	var outer struct {
		TaskDefinition *Task `json:"taskDefinition"`
		Task
	}
	if err := json.Unmarshal(data, &outer); err != nil {
		return nil, fmt.Errorf("cannot read the task definition, which must be JSON: %w", err)
	}
	t := &outer.Task
	if outer.TaskDefinition != nil {
		t = outer.TaskDefinition
	}
	if len(t.ContainerDefinitions) == 0 {
		return nil, errors.New("the task definition has no containerDefinitions")
	}
	return t, nil
}

// Sluice returns the container that runs sluice: the one called so, or whose
// image or command is; of several or none that look like it, the first.
func (t *Task) Sluice() *Container {
	is := func(s string) bool {
		s = s[strings.LastIndex(s, "/")+1:]
		name, _, _ := strings.Cut(s, ":")
		name, _, _ = strings.Cut(name, "@")
		return name == "sluice"
	}
	i := slices.IndexFunc(t.ContainerDefinitions, func(c Container) bool {
		return is(c.Name) || is(c.Image) || len(c.EntryPoint) > 0 && is(c.EntryPoint[0])
	})
	return &t.ContainerDefinitions[max(i, 0)]
}

// Flags returns the flags that the container gives sluice, without the program,
// and its environment, "KEY=value" each. What secrets will hold is not known.
func (c *Container) Flags() (args, environ []string) {
	whole := slices.Concat(c.EntryPoint, c.Command)
	if i := slices.IndexFunc(whole, func(s string) bool { return strings.HasPrefix(s, "-") }); i >= 0 && !c.usesShell() {
		args = whole[i:]
	}
	for _, p := range c.Environment {
		environ = append(environ, p.Name+"="+p.Value)
	}
	for _, p := range c.Secrets {
		environ = append(environ, p.Name+"=secret")
	}
	return args, environ
}

// usesShell reports whether a shell runs what is in the container.
func (c *Container) usesShell() bool {
	whole := slices.Concat(c.EntryPoint, c.Command)
	return len(whole) > 1 && (strings.HasSuffix(whole[0], "sh")) && slices.Contains(whole, "-c")
}
