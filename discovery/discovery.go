// Package discovery says who the members of a service are.
//
// A [Source] watches one service wherever it is registered and reports the
// whole list of its members each time it changes; what is done with the list
// is [backend.Pool.Set]'s business. A source that loses contact reports
// nothing, so that the last good list stays in use.
package discovery

import (
	"context"

	"sluice/pkg/backend"
)

// Source reports the members of one service.
type Source interface {
	// Watch calls update with the complete list of members, first as soon as
	// it is known and then whenever it may have changed, always from one
	// goroutine at a time. It blocks until ctx ends and then returns ctx's
	// error; trouble with the registry is retried, logged and counted, never
	// returned. The list belongs to update once passed.
	Watch(ctx context.Context, update func([]backend.Target)) error
}
