package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/control"
)

// TestEveryPathIsDescribed holds what the mux answers against the document, for
// calls that somebody adds past the table of operations.
func TestEveryPathIsDescribed(t *testing.T) {
	t.Parallel()
	s, f, book := plant(t, Config{Version: "v1"})
	_, paths := describedBy(t, get(t, s, "/admin/openapi.json").body)
	fleet := func(context.Context) (string, []control.Task, error) { return "", nil, nil }
	mux := routes(Config{Plane: f, Book: book, Fleet: fleet, Metrics: metrics.NewSet()})
	seen := 0
	for _, pattern := range mux.patterns {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.TrimSuffix(path, "{$}")
		if path == "/healthz" || path == "/readyz" || method == http.MethodOptions {
			continue
		}
		seen++
		if _, described := paths[path][method]; !described {
			t.Errorf("the document has no %s", pattern)
		}
	}
	if seen < 50 || !slices.Contains(mux.patterns, "GET /metrics") {
		t.Errorf("unexpected number of calls: %d", seen)
	}
}
