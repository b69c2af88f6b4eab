// Package ecs holds the CloudFormation template in deploy/ecs against AWS's
// schema of resources, and what it makes of sluice against sluice itself. It is a
// module of its own, for what it needs.
package ecs
