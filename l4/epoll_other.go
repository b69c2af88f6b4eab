//go:build !linux

package l4

import "errors"

// sessionList belongs to the epoll driver, which is Linux's.
type sessionList struct{}

func (s *Server) serveLoops() error { return errors.New("l4: the epoll driver needs Linux") }

func (s *Server) cutSessions() int { return 0 }
