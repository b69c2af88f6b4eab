// Package proxyproto reads and writes the header of the PROXY protocol, with
// which a proxy tells who its client is; "the specification" is HAProxy's
// doc/proxy-protocol.txt of 2020/03/05.
//
// [Parse] looks at the bytes that have arrived so far. It keeps no state: with
// [ErrShort] the caller reads more and asks again with all of them. It answers
// as early as the bytes allow, so a connection that begins as something else
// is refused at its first wrong byte.
//
// The protocol must never be guessed (section 2): whoever calls Parse has
// decided by configuration, and by the peer's address, that a header comes.
//
// Where the specification leaves a choice, or says two things:
//
//	input                              result                  why
//	v1 UNKNOWN, v2 UNSPEC              no addresses            "use the real connection's parameters" (2.1, 2.2)
//	v1 UNKNOWN with more in its line   ignored to the CRLF     2.1; a CR or LF alone is malformed
//	v1 IPv6 address ending in IPv4     accepted                inet_ntop writes IPv4-mapped ones so
//	v2 LOCAL                           block skipped           "discard the protocol block including the family" (2.2)
//	v2 UNSPEC                          block skipped           nothing says where its TLVs would begin
//	v2 UDP, UNIX                       no addresses, TLVs      "falls back to the UNSPEC mode" (2.2)
//	v2 other family or protocol        malformed               "must be rejected" (2.2); so are half UNSPEC ones, such as 0x10
//	v2 longer than MaxSize             malformed               a length field is no reason to wait for 64 KiB
//	v2 TLVs that do not fill the rest  malformed               every TLV is walked, although none but CRC32C is read
//	v2 CRC32C                          verified                2.2.3; of another size or given twice it is malformed
//	IPv4-mapped IPv6 addresses         unmapped                one client, one address: lists and hashes see IPv4
package proxyproto
