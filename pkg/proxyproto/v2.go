package proxyproto

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// The layout of version 2 (section 2.2).
const (
	signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"
	sizeV2      = 16 // without addresses and TLVs

	unspec   = 0x00 // address family and protocol, a half byte each
	tcpIPv4  = 0x11
	udpIPv4  = 0x12
	tcpIPv6  = 0x21
	udpIPv6  = 0x22
	unixTCP  = 0x31
	unixUDP  = 0x32
	sizeIPv4 = 2*4 + 2*2
	sizeIPv6 = 2*16 + 2*2
	sizeUnix = 2 * 108

	tlvCRC32C = 0x03
	sizeTLV   = 3 // without the value
)

// addressSize returns how long the addresses of a family and protocol are.
func addressSize(family byte) (n int, ok bool) {
	switch family {
	case unspec:
		return 0, true
	case tcpIPv4, udpIPv4:
		return sizeIPv4, true
	case tcpIPv6, udpIPv6:
		return sizeIPv6, true
	case unixTCP, unixUDP:
		return sizeUnix, true
	}
	return 0, false
}

func parseV2(b []byte) (Header, int, error) {
	for i := range min(len(b), len(signatureV2)) {
		if b[i] != signatureV2[i] {
			return Header{}, 0, errSignature
		}
	}
	h := Header{Version: 2}
	if len(b) > 12 {
		h.Command = Command(b[12] & 0xf)
		if b[12]>>4 != 2 {
			return h, 0, errV2Version
		}
		if h.Command > Proxy {
			return h, 0, errV2Command
		}
	}
	if len(b) > 13 && h.Command == Proxy {
		if _, ok := addressSize(b[13]); !ok {
			return h, 0, errV2Family
		}
	}
	if len(b) < sizeV2 {
		return h, 0, ErrShort
	}
	end := sizeV2 + int(binary.BigEndian.Uint16(b[14:]))
	if end > MaxSize {
		return h, 0, errV2Long
	}
	if h.Command == Local || b[13] == unspec {
		if len(b) < end {
			return h, 0, ErrShort
		}
		return h, end, nil
	}
	size, _ := addressSize(b[13])
	tlvs := sizeV2 + size
	if tlvs > end {
		return h, 0, errV2Address
	}
	crc, err := walkTLVs(b, tlvs, end)
	if err != nil {
		return h, 0, err
	}
	if crc > 0 && !verifyCRC(b[:end], crc) {
		return h, 0, errV2CRC
	}
	switch a := b[sizeV2:tlvs]; b[13] {
	case tcpIPv4:
		h.Source = addrPort(a[:4], a[8:])
		h.Destination = addrPort(a[4:8], a[10:])
	case tcpIPv6:
		h.Source = addrPort(a[:16], a[32:])
		h.Destination = addrPort(a[16:32], a[34:])
	}
	if tlvs < end {
		h.tlvs = b[tlvs:end:end]
	}
	return h, end, nil
}

// walkTLVs checks that the TLVs of b, which begin at i, fill it up to end, and
// that b goes so far. It returns where the value of the CRC32C is, or 0.
func walkTLVs(b []byte, i, end int) (crc int, err error) {
	for i < end {
		if end-i < sizeTLV {
			return 0, errV2TLV
		}
		if len(b) < i+sizeTLV {
			return 0, ErrShort
		}
		value := i + sizeTLV
		next := value + int(binary.BigEndian.Uint16(b[i+1:]))
		if next > end {
			return 0, errV2TLV
		}
		if b[i] == tlvCRC32C {
			if next-value != crc32.Size || crc > 0 {
				return 0, errV2CRC
			}
			crc = value
		}
		i = next
	}
	if len(b) < end {
		return 0, ErrShort
	}
	return crc, nil
}

// verifyCRC reports whether the checksum at i is that of the header with
// zeros in its place (section 2.2.3).
func verifyCRC(header []byte, i int) bool {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, header[:i])
	sum = ^sum // the zeros by hand: a slice of them would be allocated
	for range crc32.Size {
		sum = table[byte(sum)] ^ sum>>8
	}
	sum = ^sum
	sum = crc32.Update(sum, table, header[i+crc32.Size:])
	return sum == binary.BigEndian.Uint32(header[i:])
}

func addrPort(addr, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(addr)
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}

func appendV2(b []byte, command Command, src, dst netip.AddrPort) []byte {
	b = append(b, signatureV2...)
	switch {
	case command == Local:
		return append(b, 0x20, unspec, 0, 0)
	case !src.IsValid():
		return append(b, 0x21, unspec, 0, 0)
	case src.Addr().Is4():
		s, d := src.Addr().As4(), dst.Addr().As4()
		b = append(b, 0x21, tcpIPv4, 0, sizeIPv4)
		b = append(append(b, s[:]...), d[:]...)
	default:
		s, d := src.Addr().As16(), dst.Addr().As16()
		b = append(b, 0x21, tcpIPv6, 0, sizeIPv6)
		b = append(append(b, s[:]...), d[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return binary.BigEndian.AppendUint16(b, dst.Port())
}
