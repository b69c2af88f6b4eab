package proxyproto

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

const both = V1 | V2

// unhex returns the bytes of a dump; spaces are for reading.
func unhex(t testing.TB, dump string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(dump, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const sig = "0d0a0d0a000d0a515549540a "

func ap(s string) netip.AddrPort {
	if s == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(s)
}

// maxAppend is how many bytes Append adds at most: a version 1 line of two IPv6
// addresses.
const maxAppend = 104

// same reports whether two headers are equal, TLVs by content.
func same(a, b Header) bool {
	return a.Version == b.Version && a.Command == b.Command && a.Source == b.Source &&
		a.Destination == b.Destination && bytes.Equal(a.tlvs, b.tlvs)
}

// accepts parses header, whole, with bytes behind it and byte by byte.
func accepts(t *testing.T, header string, accepted Versions, want Header) {
	t.Helper()
	for _, behind := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\r\n", header} {
		h, n, err := Parse([]byte(header+behind), accepted)
		if err != nil || n != len(header) || !same(h, want) {
			t.Fatalf("unexpected result for %q before %q; got %+v, %d, %v; want %+v, %d", header, behind, h, n, err, want, len(header))
		}
	}
	for i := range len(header) {
		h, n, err := Parse([]byte(header[:i]), accepted)
		if !errors.Is(err, ErrShort) || n != 0 || !same(h, Header{}) {
			t.Fatalf("unexpected result for %q; got %+v, %d, %v; want ErrShort", header[:i], h, n, err)
		}
	}
}

// refuses parses what is no header from its last byte on, or from at if that
// is not negative: not before, and with anything behind it.
func refuses(t *testing.T, header string, accepted Versions, at int, want Malformed) {
	t.Helper()
	if at < 0 {
		at = len(header)
	}
	for i := range len(header) + 1 {
		h, n, err := Parse([]byte(header[:i]), accepted)
		if n != 0 || !same(h, Header{}) {
			t.Fatalf("unexpected header in %q: %+v, %d", header[:i], h, n)
		}
		if i < at && !errors.Is(err, ErrShort) || i >= at && err != want {
			t.Fatalf("unexpected error for %q; got %v; want ErrShort before byte %d, then %q", header[:i], err, at, want)
		}
	}
	if _, _, err := Parse([]byte(header+"1 \r\n"), accepted); err != want {
		t.Fatalf("unexpected error for %q and more; got %v; want %q", header, err, want)
	}
}

func TestParseV1Success(t *testing.T) {
	t.Parallel()
	f := func(line, src, dst string) {
		t.Helper()
		want := Header{Version: 1, Command: Proxy, Source: ap(src), Destination: ap(dst)}
		accepts(t, line, V1, want)
		accepts(t, line, both, want)
	}
	// The specification's own example, and its longest lines.
	f("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324", "192.168.0.11:443")
	f("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", "255.255.255.255:65535")
	f("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")
	f("PROXY UNKNOWN\r\n", "", "")
	f("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "", "")
	f("PROXY UNKNOWN \r\n", "", "")
	f("PROXY UNKNOWN  \x00\xff PROXY TCP4 1.2.3.4 \r\n", "", "")
	// As HAProxy 2.6 sends them; the last is a mapped source.
	f("PROXY TCP4 127.0.0.1 127.0.0.1 50298 19101\r\n", "127.0.0.1:50298", "127.0.0.1:19101")
	f("PROXY TCP6 ::1 ::1 45902 19103\r\n", "[::1]:45902", "[::1]:19103")
	f("PROXY TCP6 ::ffff:127.0.0.1 2001:db8::9 36380 19106\r\n", "127.0.0.1:36380", "[2001:db8::9]:19106")
	// The edges of the grammar.
	f("PROXY TCP4 0.0.0.0 10.0.0.200 0 1\r\n", "0.0.0.0:0", "10.0.0.200:1")
	f("PROXY TCP6 :: 1:: 10 0\r\n", "[::]:10", "[1::]:0")
	f("PROXY TCP6 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1 2\r\n", "[1:2:3:4:5:6:7:0]:1", "[0:2:3:4:5:6:7:8]:2")
	f("PROXY TCP6 2001:0DB8::000f 1:2::7:8 1 2\r\n", "[2001:db8::f]:1", "[1:2:0:0:0:0:7:8]:2")
	f("PROXY TCP6 1:2:3:4:5:6:7.8.9.10 ::1.2.3.4 1 2\r\n", "[1:2:3:4:5:6:708:90a]:1", "[::102:304]:2")
	f("PROXY TCP6 64:ff9b::192.0.2.33 ::ffff:c000:221 1 2\r\n", "[64:ff9b::c000:221]:1", "192.0.2.33:2")
	f("PROXY TCP6 ::2:3:4:5:6:1.2.3.4 1::1.2.3.4 1 2\r\n", "[0:2:3:4:5:6:102:304]:1", "[1::102:304]:2")
}

func TestParseV1Failure(t *testing.T) {
	t.Parallel()
	// Each is refused at its last byte, not before.
	f := func(beginning string, want Malformed) {
		t.Helper()
		refuses(t, beginning, V1, -1, want)
		refuses(t, beginning, both, -1, want)
	}
	f("G", errSignature)
	f("\x00", errSignature)
	f("\x16", errSignature)
	f(" ", errSignature)
	f("p", errSignature)
	f("PO", errSignature) // POST
	f("PRI", errSignature)
	f("PROXYA", errSignature)
	f("PROXY\r", errSignature)
	f("PROXY\t", errSignature)
	f("PROXY  ", errV1Family)
	f("PROXY t", errV1Family)
	f("PROXY TD", errV1Family)
	f("PROXY U ", errV1Family)
	f("PROXY UNKNOWNS", errV1Family)
	f("PROXY UNKNOWN\n", errV1Family)
	f("PROXY UNKNOWN\r\r", errV1End)
	f("PROXY UNKNOWN \n", errV1End)
	f("PROXY UNKNOWN a\rb", errV1End)
	f("PROXY UD", errV1Family)
	f("PROXY TCP ", errV1Family)
	f("PROXY TCP5", errV1Family)
	f("PROXY TCP46", errV1Family)
	f("PROXY TCP6\r", errV1Family)

	f("PROXY TCP4  ", errV1Address)
	f("PROXY TCP4 :", errV1Address)
	f("PROXY TCP4 256", errV1Address)
	f("PROXY TCP4 1.2.3.4.", errV1Space)
	f("PROXY TCP4 1.2.3 ", errV1Address)
	f("PROXY TCP4 1..", errV1Address)
	f("PROXY TCP4 .", errV1Address)
	f("PROXY TCP4 01", errV1Address)
	f("PROXY TCP4 00", errV1Address)
	f("PROXY TCP4 1.2.3.0x", errV1Space)
	f("PROXY TCP4 -", errV1Address)
	f("PROXY TCP4 +", errV1Address)
	f("PROXY TCP4 1.2.3.4\t", errV1Space)
	f("PROXY TCP4 1.2.3.4  ", errV1Address)
	f("PROXY TCP4 1.2.3.4\r", errV1Space)
	f("PROXY TCP4 1.2.3.4 :", errV1Address)

	f("PROXY TCP6 1.", errV1Address)
	f("PROXY TCP6  ", errV1Address)
	f("PROXY TCP6 :1", errV1Address)
	f("PROXY TCP6 :::", errV1Address)
	f("PROXY TCP6 1:::", errV1Address)
	f("PROXY TCP6 1: ", errV1Address)
	f("PROXY TCP6 1 ", errV1Address)
	f("PROXY TCP6 g", errV1Address)
	f("PROXY TCP6 12345", errV1Address)
	f("PROXY TCP6 1::2::", errV1Address)
	f("PROXY TCP6 ::2::", errV1Address)
	f("PROXY TCP6 1:2:3:4:5:6:7 ", errV1Address)
	f("PROXY TCP6 1:2:3:4:5:6:7:8:", errV1Address)
	f("PROXY TCP6 1:2:3:4:5:6:7:8.", errV1Address)
	f("PROXY TCP6 1:2:3:4:5:6:7::8", errV1Address)
	f("PROXY TCP6 ::2:3:4:5:6:7:8:", errV1Address)
	f("PROXY TCP6 ::2:3:4:5:6:7:1.", errV1Address)
	f("PROXY TCP6 ::1%", errV1Address)
	f("PROXY TCP6 [", errV1Address)
	f("PROXY TCP6 ::01.", errV1Address)
	f("PROXY TCP6 ::256.", errV1Address)
	f("PROXY TCP6 ::a.", errV1Address)
	f("PROXY TCP6 ::1.2.3 ", errV1Address)
	f("PROXY TCP6 ::1.2.3.4:", errV1Space)
	f("PROXY TCP6 ::1 1.", errV1Address)

	f("PROXY TCP4 1.2.3.4 5.6.7.8  ", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 +", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 -", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 01", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 65536", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 123456", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 1\r", errV1Space)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 1  ", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 1 \r", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 1 00", errV1Port)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ", errV1End)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", errV1End)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r", errV1End)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rG", errV1End)

	// 107 bytes with the CRLF, not 108.
	f("PROXY UNKNOWN "+strings.Repeat("x", 93), errV1Long)
	f("PROXY UNKNOWN "+strings.Repeat("x", 92)+"\r", errV1Long)
	accepts(t, "PROXY UNKNOWN "+strings.Repeat("x", 91)+"\r\n", V1, Header{Version: 1, Command: Proxy})
	long := "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"
	f("PROXY TCP6 "+long+" "+long+" 6553", errV1Long)
}

func TestParseV2Success(t *testing.T) {
	t.Parallel()
	f := func(dump string, command Command, src, dst, tlvs string) {
		t.Helper()
		want := Header{Version: 2, Command: command, Source: ap(src), Destination: ap(dst)}
		if tlvs != "" {
			want.tlvs = []byte(unhex(t, tlvs))
		}
		accepts(t, unhex(t, sig+dump), V2, want)
		accepts(t, unhex(t, sig+dump), both, want)
	}
	// As HAProxy 2.6 sends them with crc32c and unique-id: a health check,
	// TCP over IPv4 and IPv6, and IPv6 with a mapped source.
	f("20 00 0007 030004a9b87e8f", Local, "", "", "")
	f("21 11 0016 7f000001 7f000001 8258 4a9e 030004b89b13a4 050000", Proxy, "127.0.0.1:33368", "127.0.0.1:19102", "030004b89b13a4 050000")
	f("21 21 0035 00000000000000000000000000000001 00000000000000000000000000000001 ebf0 4aa0 0300045de47f87 05000731313334332d78",
		Proxy, "[::1]:60400", "[::1]:19104", "0300045de47f87 05000731313334332d78")
	f("21 21 002e 00000000000000000000ffff7f000001 20010db8000000000000000000000009 95ea 4aa3 0300043af7932f 050000",
		Proxy, "127.0.0.1:38378", "[2001:db8::9]:19107", "0300043af7932f 050000")

	f("21 11 000c 01020304 05060708 0102 0304", Proxy, "1.2.3.4:258", "5.6.7.8:772", "")
	f("21 11 0017 01020304 05060708 0102 0304 ea0008 0176706365313233", Proxy, "1.2.3.4:258", "5.6.7.8:772", "ea0008 0176706365313233")
	f("20 00 0000", Local, "", "", "")
	f("20 11 000c 01020304 05060708 0102 0304", Local, "", "", "")
	f("20 11 0003 010203", Local, "", "", "")
	f("20 ff 0001 ff", Local, "", "", "")
	f("21 00 0000", Proxy, "", "", "")
	f("21 00 0005 ffffffffff", Proxy, "", "", "")
	f("21 12 000c 01020304 05060708 0102 0304", Proxy, "", "", "")
	f("21 12 000f 01020304 05060708 0102 0304 040000", Proxy, "", "", "040000")
	f("21 22 0024"+strings.Repeat("00", 36), Proxy, "", "", "")
	f("21 31 00d8"+strings.Repeat("2f", 216), Proxy, "", "", "")
	f("21 32 00db"+strings.Repeat("2f", 216)+"040000", Proxy, "", "", "040000")
	// MaxSize and not a byte more.
	f("20 00 10d8"+strings.Repeat("00", MaxSize-16), Local, "", "", "")
	f("21 31 10d8"+strings.Repeat("2f", 216)+"040ffd"+strings.Repeat("00", 4093), Proxy, "", "", "040ffd"+strings.Repeat("00", 4093))
}

func TestParseV2Failure(t *testing.T) {
	t.Parallel()
	f := func(dump string, want Malformed) {
		t.Helper()
		refuses(t, unhex(t, dump), V2, -1, want)
		refuses(t, unhex(t, dump), both, -1, want)
	}
	f("00", errSignature)
	f("0a", errSignature)
	f("0d0d", errSignature)
	f("0d0a0d0a47", errSignature) // two empty lines before a request
	f("0d0a0d0a000d0a515549540d", errSignature)
	f(sig+"10", errV2Version)
	f(sig+"11", errV2Version)
	f(sig+"30", errV2Version)
	f(sig+"01", errV2Version)
	f(sig+"22", errV2Command)
	f(sig+"2f", errV2Command)
	for _, family := range []string{"01", "02", "03", "10", "13", "1f", "20", "23", "30", "33", "40", "41", "f1", "ff"} {
		f(sig+"21"+family, errV2Family)
	}
	f(sig+"21 11 10d9", errV2Long)
	f(sig+"20 00 10d9", errV2Long)
	f(sig+"21 00 ffff", errV2Long)
	f(sig+"21 11 0000", errV2Address)
	f(sig+"21 11 000b", errV2Address)
	f(sig+"21 12 000b", errV2Address)
	f(sig+"21 21 0023", errV2Address)
	f(sig+"21 22 000c", errV2Address)
	f(sig+"21 31 00d7", errV2Address)
	f(sig+"21 32 0024", errV2Address)

	const addrs = "01020304 05060708 0102 0304 "
	// Too little for a TLV: known with the last one before it.
	f(sig+"21 11 000d", errV2TLV)
	f(sig+"21 11 000e", errV2TLV)
	f(sig+"21 11 0010 "+addrs+"040000", errV2TLV)
	// A TLV that goes beyond the header, known with its length.
	f(sig+"21 11 0010 "+addrs+"040002", errV2TLV)
	f(sig+"21 11 0010 "+addrs+"04ffff", errV2TLV)
	f(sig+"21 11 0013 "+addrs+"040001 00 040001", errV2TLV)
	f(sig+"21 11 0012 "+addrs+"040001", errV2TLV)
	// A checksum of the wrong size, given twice, or wrong.
	f(sig+"21 11 000f "+addrs+"030000", errV2CRC)
	f(sig+"21 11 0014 "+addrs+"030005", errV2CRC)
	f(sig+"21 11 001a "+addrs+"030004 00000000 030004", errV2CRC)
	f(sig+"21 11 0013 "+addrs+"030004 00000000", errV2CRC)
	f(sig+"21 11 0016 7f000001 7f000001 8258 4a9e 030004b89b13a4 050001", errV2TLV)
	// HAProxy's, with one bit changed each: address, port, checksum, value.
	f(sig+"21 11 0016 7f000002 7f000001 8258 4a9e 030004b89b13a4 050000", errV2CRC)
	f(sig+"21 11 0016 7f000001 7f000001 8258 4a9f 030004b89b13a4 050000", errV2CRC)
	f(sig+"21 11 0016 7f000001 7f000001 8258 4a9e 030004b89b13a5 050000", errV2CRC)
	f(sig+"21 11 0016 7f000001 7f000001 8258 4a9e 030004b89b13a4 060000", errV2CRC)
}

func TestVersions(t *testing.T) {
	t.Parallel()
	v1, v2 := "PROXY UNKNOWN\r\n", unhex(t, sig+"20000000")
	refuses(t, v1, V2, 1, errSignature)
	refuses(t, v2, V1, 1, errSignature)
	refuses(t, v1, 0, 0, errSignature)
	refuses(t, v2, 0, 0, errSignature)
	refuses(t, v1, 4, 0, errSignature)

	success := func(s string, want Versions) {
		t.Helper()
		v, err := ParseVersions(s)
		if err != nil || v != want || v.String() != s {
			t.Fatalf("unexpected result for %q; got %v, %v; want %v", s, v, err, want)
		}
	}
	success("v1", V1)
	success("v2", V2)
	success("v1v2", V1|V2)
	failure := func(s string) {
		t.Helper()
		if v, err := ParseVersions(s); err == nil || v != 0 {
			t.Fatalf("unexpected result for %q; got %v, %v; want an error", s, v, err)
		}
	}
	failure("")
	failure("none")
	failure("V1")
	failure("v2v1")
	failure("v3")
	failure("1")
	if s := Versions(0).String(); s != "none" {
		t.Fatalf("unexpected name of no version: %q", s)
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	f := func(version int, command Command, src, dst, want string, parsed Header) {
		t.Helper()
		prefix := []byte("before")
		got := Append(prefix, version, command, ap(src), ap(dst))
		if string(got) != "before"+want {
			t.Fatalf("unexpected header of version %d for %v %q %q; got %q; want %q", version, command, src, dst, got[len(prefix):], want)
		}
		if len(want) > maxAppend {
			t.Fatalf("unexpected length of %q: %d", want, len(want))
		}
		parsed.Version = version
		accepts(t, want, both, parsed)
	}
	full := func(src, dst string) Header { return Header{Command: Proxy, Source: ap(src), Destination: ap(dst)} }
	none := Header{Command: Proxy}

	f(1, Proxy, "192.168.0.1:56324", "192.168.0.11:443", "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", full("192.168.0.1:56324", "192.168.0.11:443"))
	f(1, Proxy, "[2001:db8::1]:0", "[::]:65535", "PROXY TCP6 2001:db8::1 :: 0 65535\r\n", full("[2001:db8::1]:0", "[::]:65535"))
	f(1, Proxy, "1.2.3.4:1", "[::1]:2", "PROXY TCP6 ::ffff:102:304 ::1 1 2\r\n", full("1.2.3.4:1", "[::1]:2"))
	f(1, Proxy, "[::1]:2", "0.0.3.4:1", "PROXY TCP6 ::1 ::ffff:0:304 2 1\r\n", full("[::1]:2", "0.0.3.4:1"))
	f(1, Proxy, "[::ffff:1.2.3.4]:1", "5.6.7.8:2", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", full("1.2.3.4:1", "5.6.7.8:2"))
	f(1, Proxy, "[fe80::1%eth0]:1", "[fe80::2%1]:2", "PROXY TCP6 fe80::1 fe80::2 1 2\r\n", full("[fe80::1]:1", "[fe80::2]:2"))
	f(1, Proxy, "", "5.6.7.8:2", "PROXY UNKNOWN\r\n", none)
	f(1, Proxy, "5.6.7.8:2", "", "PROXY UNKNOWN\r\n", none)
	f(1, Local, "", "", "PROXY UNKNOWN\r\n", none)
	f(1, Local, "1.2.3.4:1", "5.6.7.8:2", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", full("1.2.3.4:1", "5.6.7.8:2"))
	most := "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	f(1, Proxy, "["+most+"]:65535", "["+most+"]:65535", "PROXY TCP6 "+most+" "+most+" 65535 65535\r\n", full("["+most+"]:65535", "["+most+"]:65535"))

	v2 := func(dump string) string { return unhex(t, sig+dump) }
	f(2, Proxy, "1.2.3.4:258", "5.6.7.8:772", v2("21 11 000c 01020304 05060708 0102 0304"), full("1.2.3.4:258", "5.6.7.8:772"))
	f(2, Proxy, "[2001:db8::1%x]:258", "[::1]:772",
		v2("21 21 0024 20010db8000000000000000000000001 00000000000000000000000000000001 0102 0304"), full("[2001:db8::1]:258", "[::1]:772"))
	f(2, Proxy, "1.2.3.4:258", "[::1]:772",
		v2("21 21 0024 00000000000000000000ffff01020304 00000000000000000000000000000001 0102 0304"), full("1.2.3.4:258", "[::1]:772"))
	f(2, Proxy, "[::ffff:1.2.3.4]:258", "[::ffff:5.6.7.8]:772", v2("21 11 000c 01020304 05060708 0102 0304"), full("1.2.3.4:258", "5.6.7.8:772"))
	f(2, Proxy, "", "1.2.3.4:1", v2("21 00 0000"), none)
	f(2, Local, "", "", v2("20 00 0000"), Header{})
	f(2, Local, "1.2.3.4:1", "1.2.3.4:1", v2("20 00 0000"), Header{})
}

func TestAppendPanics(t *testing.T) {
	t.Parallel()
	f := func(version int) {
		t.Helper()
		defer func() {
			if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
				t.Fatalf("unexpected end of Append for version %d: %q", version, s)
			}
		}()
		Append(nil, version, Local, netip.AddrPort{}, netip.AddrPort{})
	}
	f(0)
	f(3)
}

func TestTexts(t *testing.T) {
	t.Parallel()
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Fatalf("unexpected text; got %q; want %q", got, want)
		}
	}
	f(Local.String(), "LOCAL")
	f(Proxy.String(), "PROXY")
	f(Command(7).String(), "command(7)")
	f(errV2CRC.Error(), "proxyproto: malformed header: the CRC32C does not match")
	var m Malformed
	if _, _, err := Parse([]byte("GET"), both); !errors.As(err, &m) || m != errSignature {
		t.Fatalf("unexpected error: %v", err)
	}
}

// TestTLVsAreBounded shows that what is appended to the TLVs of a header does
// not get into the bytes behind it.
func TestTLVsAreBounded(t *testing.T) {
	t.Parallel()
	b := []byte(unhex(t, sig+"21 11 000f 01020304 05060708 0102 0304 040000") + "client")
	h, n, err := Parse(b, V2)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(h.tlvs, "overwritten"...)
	if string(b[n:]) != "client" {
		t.Fatalf("unexpected rest: %q", b[n:])
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET", "PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 2\r\n",
		"PROXY TCP6 1:2:3:4:5:6:7:: ::2:3:4:5:6:1.2.3.4 1 2\r\n", "PROXY UNKNOWN a b c\r\n", "GET / HTTP/1.1\r\n\r\n",
		unhex(f, sig+"20 00 0007 030004a9b87e8f"),
		unhex(f, sig+"21 11 0016 7f000001 7f000001 8258 4a9e 030004b89b13a4 050000"),
		unhex(f, sig+"21 21 0024 00000000000000000000ffff01020304 00000000000000000000000000000001 0102 0304"),
		unhex(f, sig+"21 12 000f 01020304 05060708 0102 0304 040000"),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b, both)
		if err != nil {
			if n != 0 || !same(h, Header{}) {
				t.Fatalf("unexpected header with %v: %+v, %d", err, h, n)
			}
			var m Malformed
			if short := errors.Is(err, ErrShort); short == errors.As(err, &m) || short && len(b) >= MaxSize {
				t.Fatalf("unexpected error for %d bytes: %v", len(b), err)
			}
			// No more bytes make it well-formed.
			if _, _, again := Parse(append(bytes.Clone(b), " \r\n"...), both); m != "" && again != err {
				t.Fatalf("unexpected error with more bytes; got %v; want %v", again, err)
			}
			if bytes.HasPrefix(b, []byte(signatureV1)) && m != "" {
				checkLine(t, b, nil)
			}
			return
		}
		if n < 15 || n > len(b) || n > MaxSize {
			t.Fatalf("unexpected size: %d of %d", n, len(b))
		}
		if _, _, err := Parse(b[:n-1], both); !errors.Is(err, ErrShort) {
			t.Fatalf("unexpected error for all but the last byte: %v", err)
		}
		if h.Source.IsValid() != h.Destination.IsValid() || h.Source.Addr().Is4In6() || h.Source.Addr().Zone() != "" {
			t.Fatalf("unexpected addresses: %+v", h)
		}
		if h.Version == 1 {
			checkLine(t, b[:n], &h)
		}
		// What it says can be said again.
		again := Append(nil, h.Version, h.Command, h.Source, h.Destination)
		h.tlvs = nil
		if h2, n2, err := Parse(again, both); err != nil || n2 != len(again) || n2 > maxAppend || !same(h, h2) {
			t.Fatalf("unexpected result for %q; got %+v, %d, %v; want %+v", again, h2, n2, err, h)
		}
	})
}

// checkLine compares the result for a TCP line with what the standard library
// makes of its fields; h is nil for one that was refused.
func checkLine(t *testing.T, b []byte, h *Header) {
	t.Helper()
	line, _, ended := strings.Cut(string(b[:min(len(b), maxV1)]), "\r\n")
	fields := strings.Split(line, " ")
	well := ended && len(fields) == 6 && (fields[1] == "TCP4" || fields[1] == "TCP6")
	var src, dst netip.AddrPort
	if well {
		var err1, err2 error
		if fields[1] == "TCP4" {
			src, err1 = netip.ParseAddrPort(fields[2] + ":" + fields[4])
			dst, err2 = netip.ParseAddrPort(fields[3] + ":" + fields[5])
			well = src.Addr().Is4() && dst.Addr().Is4()
		} else {
			src, err1 = netip.ParseAddrPort("[" + fields[2] + "]:" + fields[4])
			dst, err2 = netip.ParseAddrPort("[" + fields[3] + "]:" + fields[5])
			well = src.Addr().Is6() && dst.Addr().Is6() && src.Addr().Zone() == "" && dst.Addr().Zone() == ""
		}
		well = well && err1 == nil && err2 == nil
		for _, port := range fields[4:] {
			well = well && (port == "0" || port[0] != '0' && port[0] != '+')
		}
	}
	if h == nil {
		if well {
			t.Fatalf("unexpected refusal of %q", line)
		}
		return
	}
	if !h.Source.IsValid() {
		if fields[1] != "UNKNOWN" {
			t.Fatalf("unexpected lack of addresses for %q", line)
		}
		return
	}
	if !well || h.Source != unmap(src) || h.Destination != unmap(dst) {
		t.Fatalf("unexpected addresses for %q; got %v, %v; want %v, %v", line, h.Source, h.Destination, src, dst)
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// FuzzTLVs puts any bytes behind addresses, with a checksum that is right.
func FuzzTLVs(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte("\x04\x00\x00"), []byte("\xea\x00\x01x"))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		tlvs := append(append(bytes.Clone(before), tlvCRC32C, 0, 4, 0, 0, 0, 0), after...)
		if len(tlvs) > 4096 {
			return
		}
		b := Append(nil, 2, Proxy, ap("1.2.3.4:5"), ap("6.7.8.9:10"))
		binary.BigEndian.PutUint16(b[14:], uint16(sizeIPv4+len(tlvs)))
		b = append(b, tlvs...)
		i := sizeV2 + sizeIPv4 + len(before) + sizeTLV
		binary.BigEndian.PutUint32(b[i:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
		h, n, err := Parse(b, both)
		if err == nil && (n != len(b) || !bytes.Equal(h.tlvs, b[sizeV2+sizeIPv4:])) {
			t.Fatalf("unexpected result: %d of %d, %x", n, len(b), h.tlvs)
		}
		if errors.Is(err, ErrShort) {
			t.Fatal("a complete header is said to be short")
		}
		if len(before)+len(after) == 0 && err != nil {
			t.Fatalf("unexpected error: %v", err)
		}
	})
}
