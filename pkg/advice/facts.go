package advice

import "time"

// Facts is what is known of a run at one moment.
type Facts struct {
	Now      time.Time
	Services []Service
	Process  Process
	Changes  []Change
	Troubles []string // what /readyz tells of
}

// Service is a service. Rates are a second, over Window.
type Service struct {
	Name     string
	Strategy string
	Backends []Backend

	Panic          bool
	PanicThreshold int // percent; 0: none
	Limits         Limits
	Health         Health
	Traffic        Traffic
	Hour           []Minute // the oldest first
	Sources        []Source
}

// Limits are the limits of a service; 0 means none.
type Limits struct {
	MaxRequests int // HTTP requests in flight
	MaxConns    int // connections and requests at once to each backend
	Waiting     int // who waits for a backend with room
	RetryBudget int // percent of what is asked
}

// Health is how a service's backends are judged.
type Health struct {
	Checked   bool
	HTTP      bool // checks ask for an answer
	Interval  time.Duration
	Timeout   time.Duration
	Fall      int
	SlowStart time.Duration // 0: none
}

// Window is over how long a Traffic counts.
const Window = 15 * time.Minute

// Traffic is what passed through a service in the last Window.
type Traffic struct {
	Requests, Connections float64 // how many
	InFlight              float64 // now, on average over the last minute
	Rate                  float64 // requests, or else connections, a second over the last minute
	Latency               float64 // mean of the last minute, in seconds; NaN if unknown
	P99                   float64 // of the last minute, in seconds; NaN if unknown
	Retries, Denied       float64 // attempts after the first, and those that the budget did not allow
	Openings              float64 // of circuit breakers
}

// Minute is a minute of a service.
type Minute struct {
	Requests float64 // in it
	Latency  float64 // mean, in seconds; NaN if unknown
}

// Backend is a backend of a service.
type Backend struct {
	Address   string
	Weight    int
	Eligible  bool
	Ejected   bool
	Cause     string // of the ejection
	Until     time.Time
	Picks     float64 // in the last Window
	Active    float64
	Latency   float64 // in seconds; 0: unknown
	Measured  float64 // how well that is known, 0 to 1
	ErrorRate float64 // 0 to 1

	ChecksPassed, ChecksFailed uint64
	ConnectFailures            uint64
	Transitions                int // of its checks' verdict, in the last Window

	// Cold is the latency that it had in its first seconds after it joined or
	// came back, within the last hour; 0: unknown.
	Cold float64
}

// Source is where members come from.
type Source struct {
	Name    string
	Trouble string // empty while all is well
	Since   time.Time
	Kept    int
}

// Process is the process and what it runs in.
type Process struct {
	Listeners   []Listener
	Connections int // of clients, open
	MaxConns    int // that descriptors allow; 0: unknown
	Ports       int // ephemeral ports that the system has for one destination; 0: unknown
	DrainDelay  time.Duration
	Drain       time.Duration // --drain-timeout
	// StopTimeout is after what time the surroundings kill a process that was
	// asked to stop; 0: unknown. Surroundings names them.
	StopTimeout  time.Duration
	Surroundings string
	// Limited are clients' own limits that were met in the last Window.
	Limited []Limited
}

// Listener is a listener.
type Listener struct {
	Name     string
	Open     int
	MaxConns int // 0: none
}

// Limited is a limit for each client, and how often it was met.
type Limited struct {
	Limit   string  // the key that sets it
	Refused float64 // how many were
	Passed  float64 // how many were not
}

// Change is an operator's change in force.
type Change struct {
	ID, What, Service, Backend, By, Reason string
	At                                     time.Time
	Endless                                bool
}
