//go:build !linux

package l4

import (
	"errors"

	"sluice/pkg/reactor"
)

// sessionList belongs to the epoll driver, which is Linux's.
type sessionList struct{}

func (s *Server) serveLoops() error { return errors.New("l4: the epoll driver needs Linux") }

func (s *Server) cutSessions() int { return 0 }

func newSessionLists(*reactor.Group) []sessionList { return nil }
