// Package zone asks the surroundings in which availability zone this process
// runs: on ECS the task metadata endpoint, which needs no permission.
package zone
