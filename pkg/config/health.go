package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ServiceHealth is what is set for one service alone of how it is used in
// trouble. What is nil is as for all services.
type ServiceHealth struct {
	MaxEjection    *int           // nil: Config.MaxEjection
	PanicThreshold *int           // nil: Config.PanicThreshold
	SlowStart      *time.Duration // nil: Config.SlowStart
	EjectionTime   *time.Duration // nil: Config.EjectionTime
	RetryBudget    *int           // nil: Config.RetryBudget
}

func (s *ServiceHealth) keys() []string {
	return []string{"max-ejection", "panic-threshold", "slow-start", "ejection-time", "retry-budget"}
}

func (s *ServiceHealth) set(key, value string) (err error) {
	switch key {
	case "max-ejection":
		s.MaxEjection, err = percent(key, value)
	case "panic-threshold":
		s.PanicThreshold, err = percent(key, value)
	case "slow-start":
		s.SlowStart, err = slowStart(key, value)
	case "ejection-time":
		s.EjectionTime, err = ejectionTime(key, value)
	case "retry-budget":
		s.RetryBudget, err = percent(key, value)
	}
	return err
}

func (s *ServiceHealth) pairs() []pair {
	return []pair{
		{"max-ejection", optional(s.MaxEjection)}, {"panic-threshold", optional(s.PanicThreshold)},
		{"slow-start", optional(s.SlowStart)}, {"ejection-time", optional(s.EjectionTime)},
		{"retry-budget", optional(s.RetryBudget)},
	}
}

// withDefaults returns s with the settings of all services for its own.
func (s ServiceHealth) withDefaults(c *Config) ServiceHealth {
	if s.MaxEjection == nil {
		s.MaxEjection = &c.MaxEjection
	}
	if s.PanicThreshold == nil {
		s.PanicThreshold = &c.PanicThreshold
	}
	if s.SlowStart == nil {
		s.SlowStart = &c.SlowStart
	}
	if s.EjectionTime == nil {
		s.EjectionTime = &c.EjectionTime
	}
	if s.RetryBudget == nil {
		s.RetryBudget = &c.RetryBudget
	}
	return s
}

// percent reads a number from 0 to 100, maybe with a percent sign.
func percent(key, value string) (*int, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(value, "%"))
	if err != nil || n < 0 || n > 100 {
		return nil, fmt.Errorf("%s=%q is not a number from 0 to 100", key, value)
	}
	return &n, nil
}

// MaxSlowStart is the longest slow start.
const MaxSlowStart = time.Hour

// slowStart reads a duration from 0 to MaxSlowStart.
func slowStart(key, value string) (*time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 || d > MaxSlowStart {
		return nil, fmt.Errorf("%s=%q is not a duration from 0 to %v, such as 30s", key, value, MaxSlowStart)
	}
	return &d, nil
}

// ejectionTime reads a duration above 0.
func ejectionTime(key, value string) (*time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return nil, fmt.Errorf("%s=%q is not a duration above 0, such as 30s", key, value)
	}
	return &d, nil
}

// optional returns a value, or nothing for none.
func optional[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}
