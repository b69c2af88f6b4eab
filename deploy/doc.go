// Package deploy has what it takes to run sluice: an image, packages, a systemd
// unit, rules and a dashboard for what it measures. It has no code but the tests
// that hold all that against the program.
package deploy
