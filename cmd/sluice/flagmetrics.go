package main

import (
	"fmt"
	"runtime"

	"github.com/VictoriaMetrics/metrics"
	"github.com/spf13/pflag"

	"sluice/pkg/config"
)

// exposeFlags writes every flag as a metric, as a way to see what runs where.
func exposeFlags(cmd *command, set *metrics.Set) {
	one := func() float64 { return 1 }
	cmd.flags.VisitAll(func(f *pflag.Flag) {
		set.NewGauge(fmt.Sprintf("sluice_flag{name=%q,value=%q,is_set=\"%t\"}", f.Name, flagValue(f), f.Changed), one)
	})
	set.NewGauge(fmt.Sprintf("sluice_build_info{version=%q,go=%q}", version, runtime.Version()), one)
}

// flagValue returns the value of f as it may be shown: masked if it is a
// secret, and only so much of it.
func flagValue(f *pflag.Flag) string {
	if isSecret(f.Name) {
		return config.Secret(f.Value.String()).String()
	}
	return bounded(f.Value.String())
}
