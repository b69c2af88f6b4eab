package fabio

import (
	"fmt"
	"testing"

	"sluice/discovery"
)

// BenchmarkBuild builds the table of 2,500 services of four instances.
func BenchmarkBuild(b *testing.B) {
	services := make(map[string][]discovery.Member)
	for i := range 2500 {
		name := fmt.Sprintf("service-%d", i)
		for j := range 4 {
			services[name] = append(services[name], member(fmt.Sprint(name, "-", j), "v1", "urlprefix-/"+name+" strip=/"+name, "urlprefix-"+name+".example.com/"))
		}
	}
	r := NewReader(prefix, nil)
	b.ReportAllocs()
	for b.Loop() {
		if t := r.Build(services); len(t.Routes) != 5000 || len(t.Pools) != 2500 {
			b.Fatal("unexpected table")
		}
	}
}
