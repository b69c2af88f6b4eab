package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
)

// Identity is what a client's certificate says, fit for the values of headers:
// visible ASCII and spaces.
type Identity struct {
	Subject     string // RFC 4514
	CommonName  string
	Issuer      string // RFC 4514
	Serial      string // hexadecimal
	Names       []Name
	Fingerprint string // SHA-256 of the certificate, hexadecimal
}

// Name is a subject's alternative name: of kind DNS, URI, email or IP.
type Name struct{ Kind, Value string }

// IdentityOf returns what a certificate, which has been verified, says.
func IdentityOf(c *x509.Certificate) Identity {
	sum := sha256.Sum256(c.Raw)
	id := Identity{
		Subject: escapeDN(c.Subject.String()), CommonName: escapeDN(c.Subject.CommonName), Issuer: escapeDN(c.Issuer.String()),
		Serial: c.SerialNumber.Text(16), Fingerprint: hex.EncodeToString(sum[:]),
	}
	add := func(kind, value string) { id.Names = append(id.Names, Name{kind, escapeName(value)}) }
	for _, n := range c.URIs {
		add("URI", n.String())
	}
	for _, n := range c.DNSNames {
		add("DNS", n)
	}
	for _, n := range c.EmailAddresses {
		add("email", n)
	}
	for _, n := range c.IPAddresses {
		add("IP", n.String())
	}
	return id
}

// escapeDN writes what is no visible ASCII as RFC 4514 2.4 has it.
func escapeDN(s string) string {
	return escape(s, func(b *strings.Builder, c byte) bool {
		if c >= ' ' && c < 0x7f {
			return false
		}
		fmt.Fprintf(b, `\%02X`, c)
		return true
	})
}

// escapeName writes what is no visible ASCII, and what separates names, as in a
// URI.
func escapeName(s string) string {
	return escape(s, func(b *strings.Builder, c byte) bool {
		if c > ' ' && c < 0x7f && !strings.ContainsRune(`,;="\`, rune(c)) {
			return false
		}
		fmt.Fprintf(b, `%%%02X`, c)
		return true
	})
}

// escape writes s, but for the bytes that write has written in another way.
func escape(s string, write func(*strings.Builder, byte) bool) string {
	var b strings.Builder
	for i := range len(s) {
		if !write(&b, s[i]) {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// Forwarded returns the value of X-Forwarded-Client-Cert, as Envoy writes it.
func (id *Identity) Forwarded() string {
	var b strings.Builder
	b.WriteString("Hash=" + id.Fingerprint + `;Subject="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(id.Subject) + `"`)
	for _, n := range id.Names {
		if n.Kind == "URI" || n.Kind == "DNS" {
			b.WriteString(";" + n.Kind + "=" + n.Value)
		}
	}
	return b.String()
}

// NameList returns all names, as in DNS:a.example, URI:spiffe://b.
func (id *Identity) NameList() string {
	var all []string
	for _, n := range id.Names {
		all = append(all, n.Kind+":"+n.Value)
	}
	return strings.Join(all, ", ")
}
