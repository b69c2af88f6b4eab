package metricset

import (
	"strings"
	"testing"
)

// TestOpenMetrics writes every kind of metric, and those whose names would clash.
func TestOpenMetrics(t *testing.T) {
	t.Parallel()
	text := `# HELP a_total Says "a".
# TYPE a_total counter
a_total{x="le=\"1\""} 3
# TYPE b gauge
b 1e+06
# HELP b_total Has a gauge's name.
# TYPE b_total counter
b_total 2
# TYPE c_seconds histogram
c_seconds_bucket{service="web",le="0.5"} 1
c_seconds_bucket{service="web",le="1"} 2
c_seconds_bucket{service="web",le="+Inf"} 3
c_seconds_sum{service="web"} 4
c_seconds_count{service="web"} 3
# TYPE d summary
d{quantile="0"} 1
d{quantile="0.5"} 2
# TYPE e untyped
e 1
`
	want := `# TYPE a counter
# HELP a Says \"a\".
a_total{x="le=\"1\""} 3
# TYPE b gauge
b 1e+06
# TYPE b_total unknown
# HELP b_total Has a gauge's name.
b_total 2
# TYPE c_seconds histogram
c_seconds_bucket{service="web",le="0.5"} 1 # c_seconds{service="web"} -1 0.5
c_seconds_bucket{service="web",le="1.0"} 2 # c_seconds{service="web"} 0.5 1
c_seconds_bucket{service="web",le="+Inf"} 3
c_seconds_sum{service="web"} 4
c_seconds_count{service="web"} 3
# TYPE d summary
d{quantile="0.0"} 1
d{quantile="0.5"} 2
# TYPE e unknown
e 1
# EOF
`
	var out strings.Builder
	OpenMetrics(&out, []byte(text), func(histogram string, over, most float64) string {
		if over >= 1 {
			return ""
		}
		return histogram + map[float64]string{-1: " -1", .5: " 0.5"}[over] + map[float64]string{.5: " 0.5", 1: " 1"}[most]
	})
	if got := out.String(); got != want {
		t.Errorf("unexpected text; got\n%s\nwant\n%s", got, want)
	}
}
