// Package cgroup says how much memory, and how much of the CPUs, the control groups
// of this process leave it. Go itself looks at the latter, rounded up, and not at
// the former.
package cgroup
