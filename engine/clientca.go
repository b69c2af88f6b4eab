package engine

import (
	"crypto/tls"

	"sluice/pkg/certificate"
	"sluice/pkg/config"
)

// demand makes cfg ask for the certificates of clients, if a part of the listener
// says so, and then for all of them.
func (k *keeper) demand(cfg *tls.Config, parts []config.Certificate) error {
	for _, c := range parts {
		if c.ClientCA == "" {
			continue
		}
		a, err := certificate.OpenAuthorities(k.logger, c.ClientCA)
		if err != nil {
			return err
		}
		k.clients = append(k.clients, a)
		a.Demand(cfg, c.ClientCert == "optional")
		return nil
	}
	return nil
}
