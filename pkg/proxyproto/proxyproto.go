package proxyproto

import (
	"errors"
	"fmt"
	"net/netip"
)

const (
	// MaxSize is the size of the longest header that Parse accepts: of version
	// 2, with the addresses of UNIX sockets and 4 KiB of TLVs.
	MaxSize = sizeV2 + sizeUnix + 4<<10
)

// ErrShort says that the bytes are the beginning of a header: read more.
var ErrShort = errors.New("proxyproto: header is not complete")

// Malformed is why bytes are no header and cannot become one. Its values are
// a closed set without anything of the peer's in it.
type Malformed string

// Error returns the reason.
func (m Malformed) Error() string { return "proxyproto: malformed header: " + string(m) }

// What Parse finds wrong with bytes.
const (
	errSignature Malformed = "it does not begin as one of an accepted version does"

	errV1Long    Malformed = "no end of line in the first 107 bytes"
	errV1Family  Malformed = "the protocol is not TCP4, TCP6 or UNKNOWN"
	errV1Space   Malformed = "no single space between fields"
	errV1Address Malformed = "an address is not one of the line's family"
	errV1Port    Malformed = "a port is not a number from 0 to 65535 without leading zeros"
	errV1End     Malformed = "the line does not end with one CR and LF"

	errV2Version Malformed = "the version is not 2"
	errV2Command Malformed = "the command is not LOCAL or PROXY"
	errV2Family  Malformed = "the address family and protocol are not specified"
	errV2Long    Malformed = "it is too long"
	errV2Address Malformed = "it is too short for its addresses"
	errV2TLV     Malformed = "the TLVs do not end where it ends"
	errV2CRC     Malformed = "the CRC32C does not match"
)

// Versions is a set of versions of the protocol.
type Versions uint8

// The two versions there are.
const (
	V1 Versions = 1 << iota // text
	V2                      // binary
)

// ParseVersions returns the set that s names: "v1", "v2" or "v1v2".
func ParseVersions(s string) (Versions, error) {
	for _, v := range []Versions{V1, V2, V1 | V2} {
		if s == v.String() {
			return v, nil
		}
	}
	return 0, fmt.Errorf("unknown PROXY protocol versions %q; known are v1, v2 and v1v2", s)
}

// String returns the set as ParseVersions reads it, or "none".
func (v Versions) String() string {
	switch v & (V1 | V2) {
	case V1:
		return "v1"
	case V2:
		return "v2"
	case V1 | V2:
		return "v1v2"
	}
	return "none"
}

// Command says on whose behalf a connection was made.
type Command uint8

// The two commands of section 2.2.
const (
	// Local is a connection that the proxy made for itself, for instance to
	// check health: it stands for nobody.
	Local Command = iota
	// Proxy is a connection that the proxy relays. Every header of version 1
	// has this command.
	Proxy
)

// String returns the command as the specification spells it.
func (c Command) String() string {
	switch c {
	case Local:
		return "LOCAL"
	case Proxy:
		return "PROXY"
	}
	return fmt.Sprintf("command(%d)", uint8(c))
}

// Header is what a header says.
type Header struct {
	// Version is 1 or 2.
	Version int
	Command Command
	// Source and Destination are the client and what it connected to, never
	// IPv4-mapped and without a zone. Either both are valid or neither is;
	// without them the connection's own addresses count.
	Source, Destination netip.AddrPort
	// tlvs are those of version 2 as they came: one byte of type, two of
	// length, the highest first, and the value, again and again, to the end
	// (section 2.2). They are part of the bytes given to Parse.
	tlvs []byte
}

// Parse reads the header of one of the accepted versions at the beginning of
// b, all that a connection has sent so far. It returns the header and its size
// n: the rest of b is the client's. With ErrShort, b may become a header, at
// most MaxSize long, once more has come; every other error is a Malformed, and
// then the connection must be closed (section 2). With an error n is 0.
//
// Parse neither keeps b nor writes to it, and does not allocate.
func Parse(b []byte, accepted Versions) (h Header, n int, err error) {
	switch {
	case len(b) == 0 && accepted&(V1|V2) != 0:
		return Header{}, 0, ErrShort
	case len(b) > 0 && accepted&V1 != 0 && b[0] == signatureV1[0]:
		h, n, err = parseV1(b)
	case len(b) > 0 && accepted&V2 != 0 && b[0] == signatureV2[0]:
		h, n, err = parseV2(b)
	default:
		err = errSignature
	}
	if err != nil {
		return Header{}, 0, err
	}
	return h, n, nil
}

// Append appends a header of version 1 or 2 to b and returns the result; other
// versions panic. It writes no TLVs, and at most 104 bytes.
//
// Local is for connections that have no client. Version 2 then carries no
// addresses. Version 1 has no such command: give the two addresses of the
// connection itself, as section 2.1 asks for; without them it is UNKNOWN,
// which some receivers refuse.
//
// With Proxy, src is the client and dst what it connected to. If only one of
// them is IPv4, it is written as an IPv4-mapped IPv6 address; zones are left
// out. If either is not valid, neither is written: UNKNOWN or UNSPEC.
func Append(b []byte, version int, command Command, src, dst netip.AddrPort) []byte {
	if src.IsValid() && dst.IsValid() {
		src, dst = sameFamily(src, dst)
	} else {
		src, dst = netip.AddrPort{}, netip.AddrPort{}
	}
	switch version {
	case 1:
		return appendV1(b, src, dst)
	case 2:
		return appendV2(b, command, src, dst)
	}
	panic(fmt.Sprintf("BUG: no version %d of the PROXY protocol", version))
}

// sameFamily returns both as IPv4 if both are, mapped or not, otherwise both
// as IPv6.
func sameFamily(src, dst netip.AddrPort) (netip.AddrPort, netip.AddrPort) {
	s, d := src.Addr().WithZone("").Unmap(), dst.Addr().WithZone("").Unmap()
	if s.Is4() != d.Is4() {
		s, d = netip.AddrFrom16(s.As16()), netip.AddrFrom16(d.As16())
	}
	return netip.AddrPortFrom(s, src.Port()), netip.AddrPortFrom(d, dst.Port())
}
