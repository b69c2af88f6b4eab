package config

import (
	"fmt"
	"strings"
)

// RetryOn is a set of statuses of gRPC, a bit for each, by its number. A call that
// ends so, and of which nothing else was said, may be made again.
type RetryOn uint32

// retryOnNames are those that may be in it, as Envoy calls them, with their
// numbers.
var retryOnNames = []struct {
	name string
	code int
}{{"cancelled", 1}, {"deadline-exceeded", 4}, {"resource-exhausted", 8}, {"internal", 13}, {"unavailable", 14}}

// parseRetryOn reads names with "+" between them, or none.
func parseRetryOn(key, value string) (*RetryOn, error) {
	set := RetryOn(0)
	if value == "none" {
		return &set, nil
	}
	for name := range strings.SplitSeq(value, "+") {
		before := set
		for _, x := range retryOnNames {
			if name == x.name {
				set |= 1 << x.code
			}
		}
		if set == before {
			return nil, fmt.Errorf("%s=%q is not none, nor statuses of gRPC such as unavailable+resource-exhausted; known are cancelled, deadline-exceeded, internal, resource-exhausted and unavailable, each once", key, value)
		}
	}
	return &set, nil
}

// String returns the set as it is written.
func (r RetryOn) String() string {
	var names []string
	for _, x := range retryOnNames {
		if r>>x.code&1 == 1 {
			names = append(names, x.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "+")
}
