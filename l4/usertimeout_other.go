//go:build !linux

package l4

import "time"

// setUserTimeout does nothing: this system has no such timeout.
func setUserTimeout(any, time.Duration) {}
