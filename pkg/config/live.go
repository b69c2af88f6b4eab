package config

import (
	"reflect"
	"slices"
	"strings"
)

// Changed returns the names of the settings that differ between two
// configurations, in the order in which Config has them.
func Changed(a, b *Config) (settings []string) {
	return changed(reflect.ValueOf(*a), reflect.ValueOf(*b))
}

func changed(x, y reflect.Value) (settings []string) {
	for i := range x.NumField() {
		name, options, _ := strings.Cut(x.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			settings = append(settings, changed(x.Field(i), y.Field(i))...)
		case !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()):
			settings = append(settings, name)
		}
	}
	return settings
}

// Live reports whether a setting can be changed while a process runs.
func Live(setting string) bool {
	return slices.Contains([]string{
		"l4", "l7", "route", "backend", "service", "auth", "strategy",
		"dns-server", "dns-min-ttl", "dns-max-ttl", "dns-keep",
		"health-interval", "health-fast-interval", "health-down-interval", "health-timeout", "health-rise", "health-fall",
		"max-ejection", "ejection-time", "panic-threshold", "slow-start", "retry-budget",
		"l4-connect-timeout", "l4-connect-deadline", "l4-hedge-after", "l4-idle-timeout", "l4-fin-timeout", "l4-user-timeout",
		"l7-connect-timeout", "l7-head-timeout", "l7-body-timeout", "l7-response-timeout", "l7-idle-timeout", "l7-backend-idle-timeout",
		"l7-total-timeout", "l7-upgrade-idle-timeout", "l7-upgrade-fin-timeout", "l7-min-body-rate", "l7-linger-timeout", "l7-linger-time",
		"l7-fin-timeout", "trusted-proxy", "handshake-timeout", "backend-drain-timeout", "sticky-secret",
		"drain-delay", "drain-timeout", "log-level", "access-log", "access-log-fields", "access-log-sample",
	}, setting)
}
