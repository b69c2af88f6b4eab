// Package file is a [discovery.Source] of a file that somebody else writes: a
// list, in YAML or JSON, of addresses or of mappings.
//
//   - 10.0.0.1:8080
//   - {addr: "10.0.0.2:8080", weight: 3, zone: b}
//   - {addr: "10.0.0.3:8080", id: old, status: maintenance}
//
// The file is read five times a second and judged by its content, so that it
// does not matter how it is replaced: in place, by renaming another one over
// it, or by a symbolic link that is swapped, as Kubernetes does. New content
// counts when it was read twice in a row, so that half a file, which may well
// be a list, does not. A file that is missing, empty or broken changes nothing;
// an empty list is written as [].
//
//	source.go  the loop: read, compare, parse, report
//	parse.go   content → members, strictly
package file
