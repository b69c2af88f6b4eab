package admin

import (
	"strconv"
	"strings"
)

const (
	textFormat  = "text/plain; version=0.0.4; charset=utf-8"
	openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)

// wantsOpenMetrics reports whether an Accept prefers OpenMetrics to plain text, as
// Prometheus' does.
func wantsOpenMetrics(accept string) bool {
	open, plain := 0.0, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(part, ";")
		q := 1.0
		for p := range strings.SplitSeq(params, ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			if strings.EqualFold(key, "q") {
				if n, err := strconv.ParseFloat(value, 64); err == nil {
					q = n
				}
			}
		}
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "application/openmetrics-text":
			open = max(open, q)
		case "text/plain", "text/*":
			plain = max(plain, q)
		}
	}
	return open > 0 && open >= plain
}
