// Package ctl is "sluice ctl": the control plane from a shell. Each command is
// one call of the API of pkg/admin, or a few; tables are for people, -o json
// gives scripts what the API answered.
package ctl
