package backend

// Protocol is what is spoken with a backend of HTTP. The zero value is HTTP/1.1
// without TLS.
type Protocol uint8

// The protocols: of the latter two the first is TLS, and so is HTTPS.
const (
	HTTP  Protocol = iota
	HTTPS          // HTTP/1.1 upon TLS
	H2C            // HTTP/2 without TLS, by prior knowledge
	H2             // HTTP/2 upon TLS
)

// String returns its name.
func (p Protocol) String() string { return [...]string{"http", "https", "h2c", "h2"}[p] }

// ParseProtocol returns the protocol of a name. gRPC is HTTP/2: grpc is H2C, and
// grpcs is H2.
func ParseProtocol(name string) (p Protocol, ok bool) {
	switch name {
	case "", "http":
		return HTTP, true
	case "https":
		return HTTPS, true
	case "h2c", "grpc":
		return H2C, true
	case "h2", "grpcs":
		return H2, true
	}
	return HTTP, false
}

// Protocols are the names that ParseProtocol knows, for messages.
const Protocols = "http, https, h2, h2c, grpc and grpcs"

// Multiplexed reports whether requests share a connection.
func (p Protocol) Multiplexed() bool { return p == H2C || p == H2 }

// Secure reports whether it is spoken upon TLS.
func (p Protocol) Secure() bool { return p == HTTPS || p == H2 }
