// Package ecstask holds a configuration against the task definition of ECS that
// it is to run in, and says what would drop connections. What ECS does is as its
// documentation states it: a task that is to stop is taken out of its target
// groups, gets SIGTERM, and SIGKILL after stopTimeout.
package ecstask
