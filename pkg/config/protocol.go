package config

import (
	"fmt"

	"sluice/pkg/backend"
)

// Speaks returns what is spoken with the service's backends where HTTP leads to
// them.
func (s *Service) Speaks() backend.Protocol {
	if s.Protocol == "" && s.TLS != "" {
		return backend.HTTPS
	}
	p, _ := backend.ParseProtocol(s.Protocol)
	return p
}

func (s *Service) checkProtocol() error {
	p, ok := backend.ParseProtocol(s.Protocol)
	switch {
	case !ok:
		return fmt.Errorf("protocol=%q is not known; known are %s", s.Protocol, backend.Protocols)
	case s.Protocol != "" && s.TLS != "" && !p.Secure():
		return fmt.Errorf("tls=%s contradicts protocol=%s, which is spoken without TLS", s.TLS, s.Protocol)
	}
	return nil
}
