package ecs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/awslabs/goformation/v7/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const file = "../../deploy/ecs/sluice.yaml"

func template(t *testing.T, holds bool) *Template {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := Read(data, holds)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// plain returns v as JSON has it.
func plain(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// judge returns a function that holds a resource against AWS's schema.
func judge(t *testing.T) func(resource map[string]any) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema.CloudformationSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("aws.json", doc); err != nil {
		t.Fatal(err)
	}
	return func(resource map[string]any) error {
		kind, _ := resource["Type"].(string)
		s, err := c.Compile("aws.json#/definitions/" + kind)
		if err != nil {
			return err
		}
		return s.Validate(plain(t, resource))
	}
}

// TestTemplate holds every resource against AWS's schema, with all conditions
// true and with all of them false; and sees that this finds mistakes.
func TestTemplate(t *testing.T) {
	t.Parallel()
	valid := judge(t)
	for _, holds := range []bool{true, false} {
		tpl := template(t, holds)
		if n := len(tpl.Names()); n < 15 {
			t.Errorf("unexpected number of resources: %d", n)
		}
		for name, r := range tpl.Resources() {
			if err := valid(r.(map[string]any)); err != nil {
				t.Errorf("%s, conditions %t: %v", name, holds, err)
			}
		}
	}
	wrong := template(t, true).Resources()["Service"].(map[string]any)
	wrong["Properties"].(map[string]any)["DesiredCuont"] = 2
	if valid(wrong) == nil {
		t.Error("a property that there is not is let through")
	}
	if _, err := Read([]byte("Parameters: {}\nResources: {A: {Type: \"AWS::Logs::LogGroup\", Properties: {LogGroupName: !Ref B}}}"), true); err == nil {
		t.Error("a reference to nothing is let through")
	}
}

// taskJSON returns the task definition of a template as ECS shows it.
func taskJSON(t *testing.T, tpl *Template) []byte {
	t.Helper()
	var lower func(v any) any
	lower = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			m := make(map[string]any)
			for k, x := range v {
				r := []rune(k)
				r[0] = unicode.ToLower(r[0])
				m[string(r)] = lower(x)
			}
			return m
		case []any:
			for i := range v {
				v[i] = lower(v[i])
			}
		}
		return v
	}
	task := tpl.Resources()["TaskDefinition"].(map[string]any)["Properties"]
	data, err := json.Marshal(lower(task))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestTask has sluice judge its own flags in the task definition: there is nothing
// to say.
func TestTask(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "sluice"), "./cmd/sluice")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, holds := range []bool{true, false} {
		path := filepath.Join(dir, "task.json")
		if err := os.WriteFile(path, taskJSON(t, template(t, holds)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(filepath.Join(dir, "sluice"), "--dry-run", "--target=ecs", "--task-definition="+path).CombinedOutput()
		if err != nil || string(out) != "the configuration is good\n" {
			t.Errorf("conditions %t: unexpected verdict: %v\n%s", holds, err, out)
		}
	}
}
