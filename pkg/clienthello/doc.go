// Package clienthello reads the first message of a TLS client without taking
// part in its handshake, so that a connection can be routed by the name that
// the client asks for (SNI).
//
// [Parse] looks at the bytes that have arrived so far. It keeps no state: with
// [ErrShort] the caller reads more and asks again with all of them. A
// ClientHello may come in any number of segments and of records: with a key
// share of ML-KEM it needs two segments on most paths, and some clients split
// it into several records on purpose (RFC 8446, 5.1).
//
// Whoever waits for a ClientHello needs a deadline, and a protocol in which
// the server speaks first must not be waited for at all.
//
// Choices made here:
//
//	input                                result
//	no server_name, no extensions        no name
//	name with capitals                   lower case: names are compared so (RFC 6066, 3)
//	name with a dot at its end           one dot is removed; RFC 6066 forbids it, but the meaning is plain
//	name that is an IP address           no name; RFC 6066 forbids it, but such clients would be served without SNI
//	name that is not one of DNS          malformed; letters, digits, hyphens and underscores make a label (RFC 1035, 2.3.4 for the lengths)
//	two names, an empty name or list     malformed (RFC 6066, 3)
//	server_name, twice                   malformed (RFC 8446, 4.2); of other extensions only the frame is checked
//	Encrypted Client Hello               the outer name, that of the server which can decrypt the inner one
//	bytes behind the ClientHello         not looked at: early data is the backend's matter
//	SSL 2.0's ClientHello                not TLS; RFC 6176 forbids it
//
// The name is what the client claims; nothing of it is verified. With HTTP a
// client may ask for other hosts later on the same connection, so a route by
// name is no access control.
package clienthello
