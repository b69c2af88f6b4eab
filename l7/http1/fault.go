package http1

// Fault says of which kind what is wrong with the head of a request is. None of
// them is 0.
type Fault uint8

// The faults. BadHead is what is malformed, or two programs could read
// differently.
const (
	BadHead        Fault = iota + 1
	BadMethod            // CONNECT or TRACE
	BadExpectation       // an Expect that is not 100-continue
	HeadTooLarge         // more header lines than may be
	TargetTooLong
	BadVersion // neither HTTP/1.0 nor HTTP/1.1
)
