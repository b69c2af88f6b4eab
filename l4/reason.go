package l4

import "fmt"

// Reason says why a connection ended. The set is closed: it is a metric
// label.
type Reason uint8

// The first cause counts. An established pair ends by the first failure or,
// without one, by the side that closed its direction first.
const (
	ClientEOF        Reason = iota // the client closed first
	BackendEOF                     // the backend closed first
	ClientReset                    // the client's connection broke
	BackendReset                   // the backend's connection broke
	IdleTimeout                    // no byte moved for the idle timeout
	DialFailed                     // no backend that was tried could be connected to
	NoBackend                      // no backend was eligible
	Maintenance                    // an operator has put the service into maintenance
	Limit                          // no backend had a slot free, and too many waited or for too long
	BackendDrained                 // the backend had been taken out, and the time to leave it was over
	BackendUnhealthy               // the backend's checks failed, and close-on-unhealthy is set
	Draining                       // cut because sluice was stopping
	InternalError                  // a defect in sluice
	reasons
)

// String returns the reason as metrics and logs show it.
func (r Reason) String() string {
	switch r {
	case ClientEOF:
		return "client_eof"
	case BackendEOF:
		return "backend_eof"
	case ClientReset:
		return "client_reset"
	case BackendReset:
		return "backend_reset"
	case IdleTimeout:
		return "idle_timeout"
	case DialFailed:
		return "dial_failed"
	case NoBackend:
		return "no_backend"
	case Maintenance:
		return "maintenance"
	case Limit:
		return "limit"
	case BackendDrained:
		return "backend_drained"
	case BackendUnhealthy:
		return "backend_unhealthy"
	case Draining:
		return "draining"
	case InternalError:
		return "internal_error"
	}
	return fmt.Sprintf("reason(%d)", r)
}

// Unserved reports whether the connection never had a backend. Nothing was
// exchanged then, and the client is to learn of the failure by a reset rather
// than by an answer that ends before it began.
func (r Reason) Unserved() bool {
	return r == DialFailed || r == NoBackend || r == Limit || r == Maintenance
}
