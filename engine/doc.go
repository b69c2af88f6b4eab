// Package engine makes a configuration run: services with their members,
// listeners that lead to them, and the control plane beside them. It is sluice
// without its command line, and can be run without a process of its own.
package engine
