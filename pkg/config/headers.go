package config

import (
	"fmt"

	"sluice/pkg/headeredit"
)

// HeaderEdits change the heads of requests, as backends get them, and of
// responses, as clients do. Those of a listener come first, and those of a route
// last.
type HeaderEdits struct {
	RequestHeaders, ResponseHeaders headeredit.Edits
}

func (h *HeaderEdits) keys() []string { return []string{"request-header", "response-header"} }

func (h *HeaderEdits) lists(key string) bool {
	return key == "request-header" || key == "response-header"
}

func (h *HeaderEdits) set(key, value string) error {
	m, list := headeredit.Request, &h.RequestHeaders
	if key == "response-header" {
		m, list = headeredit.Response, &h.ResponseHeaders
	}
	e, err := headeredit.Parse(value, m)
	if err != nil {
		return fmt.Errorf("%s=%q: %w", key, value, err)
	}
	*list = append(*list, e)
	return nil
}

func (h *HeaderEdits) pairs() (pairs []pair) {
	for _, e := range h.RequestHeaders {
		pairs = append(pairs, pair{"request-header", e.String()})
	}
	for _, e := range h.ResponseHeaders {
		pairs = append(pairs, pair{"response-header", e.String()})
	}
	return pairs
}

// any reports whether there are any.
func (h *HeaderEdits) any() bool { return len(h.RequestHeaders)+len(h.ResponseHeaders) > 0 }
