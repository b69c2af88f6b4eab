package proxyproto

import "encoding/binary"

// The parts of the SSL TLV (section 2.2.6).
const (
	sslCertConn   = 0x02 // bits of the first byte: the client has shown a certificate
	sslCertSess   = 0x04 // in this session
	tlvSSLVersion = 0x21
	tlvSSLCN      = 0x22
	maxSSLText    = 256 // bytes of a text in it
)

// SSL is what a header of version 2 says of a client that uses TLS with the proxy
// and has shown a certificate, which is good.
type SSL struct {
	Version    string // of TLS, such as "TLSv1.3"
	CommonName string // of the certificate's subject; empty if it has none
}

// AppendSSL appends s to header, which Append has made. One of version 1 stays as
// it is, and so does one without addresses: nothing says where its TLVs would
// begin.
func AppendSSL(header []byte, s SSL) []byte {
	if len(header) < sizeV2 || header[0] != signatureV2[0] || header[13] == unspec {
		return header
	}
	start := len(header)
	header = append(header, tlvSSL, 0, 0, sslClient|sslCertConn|sslCertSess, 0, 0, 0, 0) // verified: 0 is no error
	text := func(typ byte, text string) {
		if text == "" {
			return
		}
		text = text[:min(len(text), maxSSLText)]
		header = append(header, typ)
		header = binary.BigEndian.AppendUint16(header, uint16(len(text)))
		header = append(header, text...)
	}
	text(tlvSSLVersion, s.Version)
	text(tlvSSLCN, s.CommonName)
	binary.BigEndian.PutUint16(header[start+1:], uint16(len(header)-start-sizeTLV))
	binary.BigEndian.PutUint16(header[14:], uint16(len(header)-sizeV2))
	return header
}
