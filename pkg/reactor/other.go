//go:build !linux

package reactor

import (
	"errors"
	"log/slog"
)

// Group cannot be had on this system.
type Group struct{}

// NewGroup returns an error: the loops need Linux.
func NewGroup(int, *slog.Logger) (*Group, error) {
	return nil, errors.New("event loops need Linux")
}

// Start is never called.
func (*Group) Start() {}

// Close is never called.
func (*Group) Close() {}
