package config

import (
	"fmt"
	"time"
)

// Connections say what becomes of a service's connections to backends between
// two HTTP requests.
type Connections struct {
	Reuse              string         // never, safe or always; empty: always
	BackendIdleTimeout *time.Duration // nil: Config.L7BackendIdleTimeout; 0: none is kept
}

func (c *Connections) keys() []string { return []string{"reuse", "backend-idle-timeout"} }

func (c *Connections) set(key, value string) (err error) {
	switch key {
	case "reuse":
		switch value {
		case "never", "safe", "always":
			c.Reuse = value
		default:
			err = fmt.Errorf("reuse=%q is none of never, safe and always", value)
		}
	case "backend-idle-timeout":
		c.BackendIdleTimeout, err = wait(key, value)
	}
	return err
}

func (c *Connections) pairs() []pair {
	return []pair{{"reuse", c.Reuse}, {"backend-idle-timeout", optional(c.BackendIdleTimeout)}}
}
