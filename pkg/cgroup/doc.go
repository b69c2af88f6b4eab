// Package cgroup says how much memory the control groups of this process leave
// it. Go itself looks at their CPU quota, and not at this.
package cgroup
