package proxyproto

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

const (
	signatureV1 = "PROXY "
	maxV1       = 107 // with the CRLF (section 2.1)
)

func parseV1(b []byte) (Header, int, error) {
	s := scanner{b: b[:min(len(b), maxV1)]}
	src, dst := s.line()
	if errors.Is(s.err, ErrShort) && len(b) >= maxV1 {
		s.err = errV1Long
	}
	return Header{Version: 1, Command: Proxy, Source: src, Destination: dst}, s.i, s.err
}

func appendV1(b []byte, src, dst netip.AddrPort) []byte {
	b = append(b, signatureV1...)
	switch {
	case !src.IsValid():
		return append(b, "UNKNOWN\r\n"...)
	case src.Addr().Is4():
		b = append(b, "TCP4 "...)
	default:
		b = append(b, "TCP6 "...)
	}
	b = append(appendAddr(b, src.Addr()), ' ')
	b = append(appendAddr(b, dst.Addr()), ' ')
	b = append(strconv.AppendUint(b, uint64(src.Port()), 10), ' ')
	b = strconv.AppendUint(b, uint64(dst.Port()), 10)
	return append(b, "\r\n"...)
}

// appendAddr writes a mapped address in hexadecimal too: the specification
// knows no other form of IPv6 addresses.
func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.Is4In6() {
		return a.AppendTo(b)
	}
	raw := a.As16()
	b = append(b, "::ffff:"...)
	b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(raw[12:])), 16)
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(raw[14:])), 16)
}

// scanner reads a line of version 1 byte by byte. It stops at the first error:
// ErrShort where the bytes end, otherwise where they leave the grammar. No
// method moves after an error.
type scanner struct {
	b   []byte
	i   int
	err error
}

// peek returns the next byte without taking it.
func (s *scanner) peek() (c byte, ok bool) {
	if s.err == nil && s.i == len(s.b) {
		s.err = ErrShort
	}
	if s.err != nil {
		return 0, false
	}
	return s.b[s.i], true
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// literal takes want; anything else is err.
func (s *scanner) literal(want string, err error) {
	for k := range len(want) {
		c, ok := s.peek()
		if !ok {
			return
		}
		if c != want[k] {
			s.fail(err)
			return
		}
		s.i++
	}
}

func (s *scanner) line() (src, dst netip.AddrPort) {
	s.literal(signatureV1, errSignature)
	if c, ok := s.peek(); ok && c == 'U' {
		s.literal("UNKNOWN", errV1Family)
		s.rest()
		return src, dst
	}
	s.literal("TCP", errV1Family)
	c, _ := s.peek()
	if c == '6' {
		s.literal("6 ", errV1Family)
	} else {
		s.literal("4 ", errV1Family)
	}
	from := s.addr(c == '6')
	s.literal(" ", errV1Space)
	to := s.addr(c == '6')
	s.literal(" ", errV1Space)
	fromPort := s.number(65535, errV1Port)
	s.literal(" ", errV1Space)
	toPort := s.number(65535, errV1Port)
	s.literal("\r\n", errV1End)
	return netip.AddrPortFrom(from, uint16(fromPort)), netip.AddrPortFrom(to, uint16(toPort))
}

// rest takes what follows UNKNOWN: nothing, or a space and anything.
func (s *scanner) rest() {
	if c, ok := s.peek(); ok && c != '\r' {
		s.literal(" ", errV1Family)
	}
	for {
		c, ok := s.peek()
		if !ok {
			return
		}
		if c == '\r' || c == '\n' {
			s.literal("\r\n", errV1End)
			return
		}
		s.i++
	}
}

// number takes a decimal number from 0 to limit without leading zeros.
func (s *scanner) number(limit int, err error) int {
	n, start := 0, s.i
	for {
		c, ok := s.peek()
		if !ok {
			return 0
		}
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
		if n > limit || s.i > start && s.b[start] == '0' {
			s.fail(err)
			return 0
		}
		s.i++
	}
	if s.i == start {
		s.fail(err)
	}
	return n
}

func (s *scanner) addr(v6 bool) netip.Addr {
	if v6 {
		return s.ipv6()
	}
	return s.ipv4()
}

func (s *scanner) ipv4() netip.Addr {
	var raw [4]byte
	for k := range raw {
		if k > 0 {
			s.literal(".", errV1Address)
		}
		raw[k] = byte(s.number(255, errV1Address))
	}
	return netip.AddrFrom4(raw)
}

// ipv6 takes an address up to the space behind it, which it leaves.
func (s *scanner) ipv6() netip.Addr {
	var raw [16]byte
	groups, gap := 0, -1 // gap is how many groups stand before the double colon
	most := 8            // how many there may be: a double colon stands for at least one
	if c, ok := s.peek(); ok && c == ':' {
		s.literal("::", errV1Address)
		gap, most = 0, 7
	}
	for {
		c, ok := s.peek()
		if !ok {
			return netip.Addr{}
		}
		if c == ' ' && gap >= 0 && gap == groups {
			break // it ends with the double colon
		}
		if groups == most {
			s.fail(errV1Address)
			return netip.Addr{}
		}
		start := s.i
		group := s.hex()
		c, ok = s.peek()
		if !ok {
			return netip.Addr{}
		}
		if c == '.' && groups <= most-2 && (groups == 6 || gap >= 0) {
			s.i = start
			last := s.ipv4().As4()
			copy(raw[2*groups:], last[:])
			groups += 2
			break
		}
		binary.BigEndian.PutUint16(raw[2*groups:], group)
		groups++
		if c == ' ' {
			break
		}
		// The next is a colon, and it may be the first of two.
		if groups == most {
			s.fail(errV1Address)
			return netip.Addr{}
		}
		s.literal(":", errV1Address)
		if c, ok := s.peek(); ok && c == ':' && gap < 0 {
			s.i++
			gap, most = groups, 7
		}
	}
	if gap < 0 && groups != 8 {
		s.fail(errV1Address)
	}
	if s.err != nil {
		return netip.Addr{}
	}
	if gap >= 0 {
		tail := raw[2*gap : 2*groups]
		copy(raw[16-len(tail):], tail)
		clear(raw[2*gap : 16-len(tail)])
	}
	return netip.AddrFrom16(raw).Unmap()
}

// hex takes one to four hexadecimal digits.
func (s *scanner) hex() uint16 {
	var n uint16
	start := s.i
	for s.i < start+4 {
		c, ok := s.peek()
		if !ok {
			return 0
		}
		digit := byte(0)
		switch {
		case '0' <= c && c <= '9':
			digit = c - '0'
		case 'a' <= c && c <= 'f':
			digit = c - 'a' + 10
		case 'A' <= c && c <= 'F':
			digit = c - 'A' + 10
		default:
			if s.i == start {
				s.fail(errV1Address)
			}
			return n
		}
		n = n<<4 | uint16(digit)
		s.i++
	}
	return n
}
