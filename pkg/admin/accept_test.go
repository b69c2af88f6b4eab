package admin

import "testing"

func TestWantsOpenMetrics(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                             false,
		"*/*":                          false,
		"text/plain":                   false,
		"application/openmetrics-text": true,
		"application/openmetrics-text; version=1.0.0; charset=utf-8":                           true,
		"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3":      true,
		"application/openmetrics-text;q=0.3, text/plain;q=0.5":                                 false,
		"application/openmetrics-text;q=0,text/plain;q=0":                                      false,
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.1":      true,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=1,*/*;q=.1": false,
	} {
		if got := wantsOpenMetrics(accept); got != want {
			t.Errorf("unexpected choice for %q: %v", accept, got)
		}
	}
}
