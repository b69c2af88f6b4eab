package config

import (
	"fmt"
	"strconv"
)

// ServiceHealth is what is set for one service alone of how it is used in
// trouble. What is nil is as for all services.
type ServiceHealth struct {
	MaxEjection    *int // nil: Config.MaxEjection
	PanicThreshold *int // nil: Config.PanicThreshold
}

func (s *ServiceHealth) keys() []string { return []string{"max-ejection", "panic-threshold"} }

func (s *ServiceHealth) set(key, value string) (err error) {
	switch key {
	case "max-ejection":
		s.MaxEjection, err = percent(key, value)
	case "panic-threshold":
		s.PanicThreshold, err = percent(key, value)
	}
	return err
}

func (s *ServiceHealth) pairs() []pair {
	return []pair{{"max-ejection", optional(s.MaxEjection)}, {"panic-threshold", optional(s.PanicThreshold)}}
}

// withDefaults returns s with the settings of all services for its own.
func (s ServiceHealth) withDefaults(c *Config) ServiceHealth {
	if s.MaxEjection == nil {
		s.MaxEjection = &c.MaxEjection
	}
	if s.PanicThreshold == nil {
		s.PanicThreshold = &c.PanicThreshold
	}
	return s
}

// percent reads a number from 0 to 100.
func percent(key, value string) (*int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 100 {
		return nil, fmt.Errorf("%s=%q is not a number from 0 to 100", key, value)
	}
	return &n, nil
}

// optional returns a value, or nothing for none.
func optional[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}
