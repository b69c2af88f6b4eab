package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWalk checks that the packages that are read as a walk, by opening files in
// the order in which the package's doc names them, can be: each file is named,
// and fewer than one in five calls from one file to another lead back to an
// earlier one.
func TestWalk(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"engine", "l7/loop"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			checkWalk(t, filepath.Join("..", "..", dir))
		})
	}
}

func checkWalk(t *testing.T, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(dir, "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	place := make(map[string]int) // of a file in the walk
	for _, name := range regexp.MustCompile(`\b\w+\.go\b`).FindAllString(string(doc), -1) {
		if _, again := place[name]; !again {
			place[name] = len(place)
		}
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_other.go") || name == "doc.go" {
			continue
		}
		if _, named := place[name]; !named {
			t.Errorf("the package's doc does not name %s", name)
		}
		f, err := parser.ParseFile(set, filepath.Join(dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	// Other packages are taken for empty ones: what they declare is no matter.
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	check := types.Config{Importer: emptyPackages{}, Error: func(error) {}}
	pkg, _ := check.Check(dir, set, files, info)
	all, back := 0, 0
	for id, o := range info.Uses {
		if _, called := o.(*types.Func); !called || o.Pkg() != pkg {
			continue
		}
		from, to := filepath.Base(set.Position(id.Pos()).Filename), filepath.Base(set.Position(o.Pos()).Filename)
		if from == to {
			continue
		}
		all++
		if place[to] < place[from] {
			back++
		}
	}
	if all == 0 || 5*back >= all {
		t.Errorf("unexpected number of calls that run backwards; got %d of %d", back, all)
	}
}

// emptyPackages imports every package as one that declares nothing.
type emptyPackages struct{}

func (emptyPackages) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}
