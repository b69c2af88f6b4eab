package discovery

import (
	"context"
	"slices"

	"sluice/pkg/backend"
)

// Static is a Source whose list is known from the start and never changes.
type Static []backend.Target

var _ Source = Static(nil)

// Watch reports the list once.
func (s Static) Watch(ctx context.Context, update func([]backend.Target)) error {
	update(slices.Clone(s))
	<-ctx.Done()
	return ctx.Err()
}
