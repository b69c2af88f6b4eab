package gate

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"sluice/l7/http1"
)

// A request that a backend leads back here would go round until something
// breaks. So what is forwarded carries a mark of this process and its service in
// CDN-Loop (RFC 8586), which nobody in between may take away, and what comes
// with a mark of its own is refused. A request that comes back for another
// service, as through a gateway behind sluice, is none that goes round. Via
// would do as well, but makes servers answer differently: nginx does not
// compress for proxies.

// NewInstance returns a name for a process that no other has.
func NewInstance() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// loopMark returns the mark of a service in an instance, which is a token.
func loopMark(instance, service string) string {
	return "sluice-" + instance + "-" + service
}

// passed reports whether the request carries mark.
func passed(h *http1.Head, mark string) bool {
	for i := range h.Fields {
		f := &h.Fields[i]
		if len(f.Name) != len("cdn-loop") || !bytes.EqualFold(f.Name, []byte("cdn-loop")) {
			continue
		}
		for rest := f.Value; len(rest) > 0; {
			var hop []byte
			hop, rest, _ = bytes.Cut(rest, []byte(","))
			hop, _, _ = bytes.Cut(hop, []byte(";")) // its parameters
			if string(bytes.Trim(hop, " \t")) == mark {
				return true
			}
		}
	}
	return false
}
