package gate

import (
	"fmt"

	"sluice/l7/http1"
)

// Reason says why a request was not served as it should have been. The set is
// closed: it is a metric label, a log field and the value of X-Sluice-Reason.
type Reason uint8

// None is an exchange that went well. Those up to AuthBusy say that the
// request was at fault and was not forwarded; the others happen to requests
// that have a service, as BadRequest, RequestTimeout and ClientAbort may too.
const (
	None              Reason = iota
	BadRequest               // the request is malformed or ambiguous
	NoRoute                  // no route matches
	BadMethod                // CONNECT or TRACE
	RequestTimeout           // the client took too long to send its request
	BadExpectation           // an Expect that is not 100-continue
	HeadTooLarge             // the request's head exceeds a limit
	TargetTooLong            // the request's target exceeds its limit
	BadVersion               // neither HTTP/1.0 nor HTTP/1.1
	BodyTooLarge             // the request's body exceeds its limit
	Forbidden                // the route is not for this client
	LoopDetected             // the request has been here before
	RateLimited              // the client makes too many requests a second
	Unauthorized             // the client has no credentials, or wrong ones
	AuthBusy                 // there was no time to verify its credentials
	Redirected               // sent elsewhere, as the route says
	HTTPSRedirect            // sent to HTTPS
	ClientAbort              // the client's connection ended before the exchange did
	ClientTooSlow            // the client sends or takes a body at less than the rate it must
	ClientStalled            // the client took no byte of the response for the body timeout
	Maintenance              // an operator has put the service into maintenance
	NoBackend                // no backend was eligible
	NoSlot                   // every backend has as many requests as it may, and too many wait
	Overloaded               // the service has as many requests in flight as it may
	BreakerOpen              // the circuit breaker of every backend that could be tried is open
	ConnectFailed            // no backend that was tried could be connected to
	ConnectTimeout           // the same, the last one because it took too long
	ResponseTimeout          // no response began within the response timeout
	TotalTimeout             // the exchange took longer in all than it may
	BackendReset             // the backend's connection ended before a response head
	BadResponse              // what the backend sent is no response
	NoUpgrade                // the backend cannot switch protocols
	TruncatedResponse        // the response ended before its end
	BackendStalled           // no byte of the response's body came for the body timeout
	IdleTimeout              // an upgraded connection moved no byte for too long
	BackendDrained           // the backend had been taken out, and the time to leave it was over
	BackendUnhealthy         // the backend's checks had failed, and the service asks for that
	InternalError            // a defect in sluice
	Draining                 // cut because sluice was stopping
	reasons
)

// String returns the reason as metrics and logs show it.
func (r Reason) String() string {
	switch r {
	case None:
		return ""
	case BadRequest:
		return "bad_request"
	case NoRoute:
		return "no_route"
	case BadMethod:
		return "bad_method"
	case RequestTimeout:
		return "request_timeout"
	case BadExpectation:
		return "bad_expectation"
	case HeadTooLarge:
		return "head_too_large"
	case TargetTooLong:
		return "target_too_long"
	case BadVersion:
		return "bad_version"
	case BodyTooLarge:
		return "body_too_large"
	case Forbidden:
		return "forbidden"
	case LoopDetected:
		return "loop_detected"
	case RateLimited:
		return "rate_limited"
	case Unauthorized:
		return "unauthorized"
	case AuthBusy:
		return "auth_busy"
	case Redirected:
		return "redirect"
	case HTTPSRedirect:
		return "https_redirect"
	case ClientAbort:
		return "client_abort"
	case ClientTooSlow:
		return "client_too_slow"
	case ClientStalled:
		return "client_stalled"
	case Maintenance:
		return "maintenance"
	case NoBackend:
		return "no_backend"
	case NoSlot:
		return "no_slot"
	case Overloaded:
		return "overloaded"
	case BreakerOpen:
		return "breaker_open"
	case ConnectFailed:
		return "connect_failed"
	case ConnectTimeout:
		return "connect_timeout"
	case ResponseTimeout:
		return "response_timeout"
	case TotalTimeout:
		return "total_timeout"
	case BackendReset:
		return "backend_reset"
	case BadResponse:
		return "bad_response"
	case NoUpgrade:
		return "no_upgrade"
	case TruncatedResponse:
		return "truncated_response"
	case BackendStalled:
		return "backend_stalled"
	case IdleTimeout:
		return "idle_timeout"
	case BackendDrained:
		return "backend_drained"
	case BackendUnhealthy:
		return "backend_unhealthy"
	case InternalError:
		return "internal_error"
	case Draining:
		return "draining"
	}
	return fmt.Sprintf("reason(%d)", r)
}

// status returns the status of the response that sluice itself makes.
func (r Reason) status() int {
	switch r {
	case Redirected, HTTPSRedirect:
		return 301 // or another one of 3xx
	case BadRequest:
		return 400
	case Unauthorized:
		return 401
	case Forbidden:
		return 403
	case NoRoute:
		return 404
	case BadMethod:
		return 405
	case RequestTimeout, ClientTooSlow:
		return 408
	case BodyTooLarge:
		return 413
	case TargetTooLong:
		return 414
	case BadExpectation:
		return 417
	case RateLimited:
		return 429
	case HeadTooLarge:
		return 431
	case ClientAbort, ClientStalled:
		return statusClientGone
	case NoUpgrade:
		return 501
	case AuthBusy, Maintenance, NoBackend, NoSlot, Overloaded, BreakerOpen, Draining:
		return 503
	case ConnectTimeout, ResponseTimeout, TotalTimeout, BackendStalled:
		return 504
	case BadVersion:
		return 505
	case LoopDetected:
		return 508
	}
	return 502
}

// setting returns the key that a refusal obeys, or nothing.
func (r Reason) setting() string {
	switch r {
	case RateLimited:
		return "rate= of --l7 and --service"
	case BodyTooLarge:
		return "max-body= of --l7"
	case NoSlot:
		return "max-conns=, queue= and queue-timeout= of --service"
	case ClientTooSlow:
		return "min-body-rate= of --l7, --service and --route"
	case TotalTimeout:
		return "total-timeout= of --l7, --service and --route"
	case Overloaded:
		return "max-requests= and concurrency= of --service"
	case BreakerOpen:
		return "breaker= of --service"
	}
	return ""
}

// closes reports whether a request that is refused so ends its connection,
// because the client is not to be trusted with another one. What is only too
// much, or not there, is no reason.
func (r Reason) closes() bool {
	switch r {
	case NoRoute, Forbidden, LoopDetected, RateLimited, Unauthorized, AuthBusy:
		return false
	}
	return true
}

// refuses reports whether a request that has no service was refused.
func (r Reason) refuses() bool { return r != Redirected && r != HTTPSRedirect }

// malformed reports whether it is the request itself that is refused.
func (r Reason) malformed() bool {
	switch r {
	case BadRequest, BadMethod, BadExpectation, HeadTooLarge, TargetTooLong, BadVersion:
		return true
	}
	return false
}

// statusClientGone is logged for a request whose client did not wait for a
// response, as nginx does; it is never sent.
const statusClientGone = 499

// explain returns the text of the response that sluice itself makes.
func (r Reason) explain() string {
	switch r {
	case BadRequest:
		return "the request is malformed"
	case RequestTimeout:
		return "the request took too long to arrive"
	case HeadTooLarge:
		return "the head of the request is too large"
	case BodyTooLarge:
		return "the body of the request is too large"
	case Forbidden:
		return "this is not for your network"
	case LoopDetected:
		return "the request has come back to where it was: a backend of its route leads to this load balancer again"
	case RateLimited:
		return "too many requests"
	case Unauthorized:
		return "a user name and a password are needed"
	case AuthBusy:
		return "there was no time to verify your credentials"
	case Maintenance:
		return "the service is in maintenance"
	case NoBackend:
		return "no backend is available"
	case NoSlot:
		return "no backend has room for one more request"
	case Overloaded:
		return "too many requests are being served"
	case BreakerOpen:
		return "all backends have failed too often of late"
	case ConnectFailed:
		return "no backend could be connected to"
	case ConnectTimeout:
		return "no backend could be connected to in time"
	case ClientTooSlow:
		return "the body of the request comes too slowly"
	case TotalTimeout:
		return "the request took too long"
	case ResponseTimeout:
		return "the backend did not respond in time"
	case BackendReset:
		return "the backend closed its connection without a response"
	case BadResponse:
		return "the backend's response is malformed"
	case NoUpgrade:
		return "the backend takes no WebSockets over HTTP/2 (RFC 8441)"
	case Draining:
		return "the load balancer is stopping"
	}
	return "the request could not be served"
}

// ours reports whether a request that ends so was failed by sluice or by a
// backend, not by its client.
func (r Reason) ours() bool {
	return r != None && r.status() >= 500 && r != BackendDrained && r != BackendUnhealthy
}

// reasonOf returns the reason for which a request with such a head is refused.
func reasonOf(f http1.Fault) Reason {
	switch f {
	case http1.BadMethod:
		return BadMethod
	case http1.BadExpectation:
		return BadExpectation
	case http1.HeadTooLarge:
		return HeadTooLarge
	case http1.TargetTooLong:
		return TargetTooLong
	case http1.BadVersion:
		return BadVersion
	}
	return BadRequest
}
