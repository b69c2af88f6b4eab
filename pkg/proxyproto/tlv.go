package proxyproto

import "encoding/binary"

// The TLVs that say how the client is connected to the proxy (section 2.2.6).
const (
	tlvSSL    = 0x20
	sslClient = 0x01 // bit of the first byte: the client uses TLS
	sizeSSL   = 5    // of its value, without the TLVs in it
)

// tlv returns the value of the first TLV of a type, which is a part of h.tlvs.
func (h *Header) tlv(typ byte) (value []byte, ok bool) {
	for b := h.tlvs; len(b) >= sizeTLV; {
		n := sizeTLV + int(binary.BigEndian.Uint16(b[1:]))
		if n > len(b) {
			return nil, false
		}
		if b[0] == typ {
			return b[sizeTLV:n], true
		}
		b = b[n:]
	}
	return nil, false
}

// ClientTLS reports whether the header says that the client uses TLS with the
// proxy.
func (h *Header) ClientTLS() bool {
	ssl, ok := h.tlv(tlvSSL)
	return ok && len(ssl) >= sizeSSL && ssl[0]&sslClient != 0
}
