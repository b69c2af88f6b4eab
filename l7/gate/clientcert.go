package gate

import (
	"crypto/tls"
	"fmt"
	"strings"

	"sluice/l7/http1"
	"sluice/pkg/certificate"
	"sluice/pkg/headeredit"
)

// noClientCert is what backends are told of a client that has shown none.
const noClientCert = "X-SSL-Client-Verify: NONE\r\n"

// clientCertLines returns the header lines by which backends learn who the client
// of a TLS connection is, whose certificate, if there is one, has been verified.
func clientCertLines(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return noClientCert
	}
	id := certificate.IdentityOf(state.PeerCertificates[0])
	var b strings.Builder
	for _, l := range [...]struct{ name, value string }{
		{"X-SSL-Client-Verify", "SUCCESS"},
		{"X-SSL-Client-Subject", id.Subject},
		{"X-SSL-Client-CN", id.CommonName},
		{"X-SSL-Client-SAN", id.NameList()},
		{"X-SSL-Client-Issuer", id.Issuer},
		{"X-SSL-Client-Serial", id.Serial},
		{"X-SSL-Client-Fingerprint", id.Fingerprint},
		{"X-Forwarded-Client-Cert", id.Forwarded()},
	} {
		if l.value != "" {
			b.WriteString(l.name + ": " + l.value + "\r\n")
		}
	}
	return b.String()
}

// dropClientCert returns the edits that drop what others say of a client's
// certificate.
func dropClientCert() (es headeredit.Edits) {
	for _, spec := range [...]string{"remove:" + http1.ClientCertPrefix + "*", "remove:X-Forwarded-Client-Cert"} {
		e, err := headeredit.Parse(spec, headeredit.Request)
		if err != nil {
			panic(fmt.Sprintf("BUG: %v", err))
		}
		es = append(es, e)
	}
	return es
}
