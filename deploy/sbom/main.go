// Command sbom writes what a Go program was built of, as the program itself says
// (runtime/debug.BuildInfo), in CycloneDX's form (version 1.5, JSON). The same
// program gives the same bytes.
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// bom is a CycloneDX document.
type bom struct {
	Format      string       `json:"bomFormat"`
	Spec        string       `json:"specVersion"`
	Version     int          `json:"version"`
	Metadata    metadata     `json:"metadata"`
	Components  []component  `json:"components"`
	Dependences []dependence `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl,omitempty"`
}

type dependence struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom PROGRAM VERSION")
		os.Exit(2)
	}
	info, err := buildinfo.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out, err := json.MarshalIndent(describe(info, os.Args[2]), "", "  ")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(out))
}

// describe lists the main module, the modules that it was built with, and Go's
// standard library.
func describe(info *debug.BuildInfo, version string) bom {
	b := bom{Format: "CycloneDX", Spec: "1.5", Version: 1}
	b.Metadata.Component = component{Type: "application", Ref: info.Path, Name: info.Path, Version: version}
	needs := dependence{Ref: info.Path}
	add := func(kind, name, version string) {
		purl := "pkg:golang/" + name + "@" + version
		b.Components = append(b.Components, component{Type: kind, Ref: purl, Name: name, Version: version, PURL: purl})
		needs.On = append(needs.On, purl)
	}
	add("library", "std", strings.TrimPrefix(info.GoVersion, "go"))
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		add("library", m.Path, m.Version)
	}
	b.Dependences = []dependence{needs}
	return b
}
