package history

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
)

// counter is what is counted of a service.
type counter int

const (
	requests counter = iota
	clientErrors
	serverErrors
	failed
	refused
	retries
	denied
	failovers
	openings
	bytesIn
	bytesOut
	ended
	requestTime // in seconds, of all together
	connectTime
	inFlight // a gauge
	open     // a gauge
	counters
)

// Counts are the counters of a service as they are at one moment.
type Counts struct {
	counters [counters]float64
	request  distribution // of the time of requests
	connect  distribution // of the time to connect
}

// Requests returns how many HTTP requests have ended.
func (c *Counts) Requests() float64 { return c.counters[requests] }

// add adds what other counts, to sum services up.
func (c *Counts) add(other *Counts) {
	for i := range c.counters {
		c.counters[i] += other.counters[i]
	}
	for i, b := range other.request {
		c.request.add(i, b)
	}
	for i, b := range other.connect {
		c.connect.add(i, b)
	}
}

// Reading is the counters of all services at one moment.
type Reading struct {
	Services map[string]*Counts
	Total    Counts
	Clients  Clients
}

// Clients is what limits for each client have let pass and turned away.
type Clients struct {
	Accepted, TooMany, TooOften float64 // connections, and those beyond max-conns-per-client and max-rate-per-client
	RateLimited                 float64 // requests beyond rate=
}

func (c *Clients) count(name string, labels []byte, v float64) {
	reason, _ := label(labels, "reason")
	switch {
	case name == "istener_accepted_total":
		c.Accepted += v
	case reason == "client_conns":
		c.TooMany += v
	case reason == "client_rate":
		c.TooOften += v
	case reason == "rate_limited":
		c.RateLimited += v
	}
}

// unserved are the ends of TCP connections that found no backend, and blameless
// those of HTTP requests that clients ended themselves.
const (
	unserved  = " dial_failed no_backend limit internal_error "
	blameless = " client_abort "
)

// Read reads metrics in Prometheus' text format. What it does not know it
// skips.
func Read(text []byte) Reading {
	r := Reading{Services: make(map[string]*Counts)}
	for len(text) > 0 {
		var line []byte
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			line, text = text, nil
		}
		if rest, ok := bytes.CutPrefix(line, []byte("sluice_l")); ok {
			r.line(rest)
		}
	}
	for _, c := range r.Services {
		r.Total.add(c)
	}
	return r
}

// line reads one series, behind "sluice_l".
func (r *Reading) line(line []byte) {
	i := bytes.IndexAny(line, "{ ")
	j := bytes.LastIndexByte(line, ' ')
	if i < 0 || j < i {
		return
	}
	name, labels := string(line[:i]), line[i:j]
	if !wanted(name) {
		return
	}
	v, err := strconv.ParseFloat(string(line[j+1:]), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	switch name {
	case "istener_accepted_total":
		r.Clients.count(name, labels, v)
		return
	case "7_rejected_total", "istener_rejected_total":
		r.Clients.count(name, labels, v)
		r.Total.counters[refused] += v
		return
	}
	service, ok := label(labels, "service")
	if !ok {
		return
	}
	c := r.Services[service]
	if c == nil {
		c = &Counts{}
		r.Services[service] = c
	}
	c.count(name, labels, v)
}

// wanted reports whether a series of that name counts; most do not.
func wanted(name string) bool {
	switch name {
	case "7_rejected_total", "istener_rejected_total", "istener_accepted_total", "7_requests_total", "7_requests", "7_failed_total", "7_retries_total", "7_retries_denied_total", "4_connect_retries_denied_total",
		"7_breaker_openings_total", "7_bytes_total", "7_request_duration_seconds_bucket", "7_connect_duration_seconds_bucket",
		"4_connections_total", "4_connections", "4_connect_retries_total", "4_connect_hedges_total", "4_bytes_total",
		"4_connect_duration_seconds_bucket",
		"7_request_duration_seconds_sum", "7_connect_duration_seconds_sum", "4_connect_duration_seconds_sum":
		return true
	}
	return false
}

func (c *Counts) count(name string, labels []byte, v float64) {
	of := func(name string) string { s, _ := label(labels, name); return s }
	in := func(list, word string) bool { return strings.Contains(list, " "+word+" ") }
	switch name {
	case "7_requests_total":
		c.counters[requests] += v
		switch of("code") {
		case "4xx":
			c.counters[clientErrors] += v
		case "5xx":
			c.counters[serverErrors] += v
		}
	case "7_requests":
		c.counters[inFlight] += v
	case "7_failed_total":
		if !in(blameless, of("reason")) {
			c.counters[failed] += v
		}
	case "7_retries_total":
		c.counters[retries] += v
		c.counters[failovers] += v
	case "7_retries_denied_total", "4_connect_retries_denied_total":
		c.counters[denied] += v
	case "7_breaker_openings_total":
		c.counters[openings] += v
	case "7_bytes_total", "4_bytes_total":
		if of("direction") == "in" {
			c.counters[bytesIn] += v
		} else {
			c.counters[bytesOut] += v
		}
	case "4_connections_total":
		c.counters[ended] += v
		if in(unserved, of("reason")) {
			c.counters[failed] += v
		}
	case "4_connections":
		c.counters[open] += v
	case "4_connect_retries_total":
		c.counters[retries] += v
		c.counters[failovers] += v
	case "4_connect_hedges_total": // counted as retries, too
		c.counters[failovers] -= v
	case "7_request_duration_seconds_sum":
		c.counters[requestTime] += v
	case "7_connect_duration_seconds_sum", "4_connect_duration_seconds_sum":
		c.counters[connectTime] += v
	case "7_request_duration_seconds_bucket":
		c.request.read(of("le"), v)
	case "7_connect_duration_seconds_bucket", "4_connect_duration_seconds_bucket":
		c.connect.read(of("le"), v)
	}
}

// label returns the value of a label in {a="b",c="d"}.
func label(labels []byte, name string) (string, bool) {
	rest := labels
	for {
		i := bytes.Index(rest, []byte(name+`="`))
		if i < 0 {
			return "", false
		}
		if before := i - 1; before >= 0 && rest[before] != '{' && rest[before] != ',' {
			rest = rest[i+1:]
			continue
		}
		value := rest[i+len(name)+1:]
		if end := bytes.IndexByte(value[1:], '"'); end >= 0 && bytes.IndexByte(value[:end+1], '\\') < 0 {
			return string(value[1 : end+1]), true
		}
		q, err := strconv.QuotedPrefix(string(value))
		if err != nil {
			return "", false
		}
		s, err := strconv.Unquote(q)
		return s, err == nil
	}
}

// bucket is how many took at most so long.
type bucket struct{ most, count float64 }

// distribution is a histogram, by rising bounds, each count including those
// before.
type distribution []bucket

// read adds what a series says.
func (d *distribution) read(bound string, count float64) {
	most, err := strconv.ParseFloat(strings.TrimPrefix(bound, "+"), 64)
	if err != nil {
		return
	}
	d.insert(bucket{most, count})
}

// add adds the bucket at i of another histogram, which most often has the same
// bounds.
func (d *distribution) add(i int, b bucket) {
	if i < len(*d) && (*d)[i].most == b.most {
		(*d)[i].count += b.count
		return
	}
	d.insert(b)
}

func (d *distribution) insert(b bucket) {
	i, found := slices.BinarySearchFunc(*d, b.most, func(x bucket, most float64) int {
		switch {
		case x.most < most:
			return -1
		case x.most > most:
			return 1
		}
		return 0
	})
	if found {
		(*d)[i].count += b.count
		return
	}
	*d = slices.Insert(*d, i, b)
}

// since returns what came after before.
func (d distribution) since(before distribution) distribution {
	if before.count() > d.count() || len(before) != len(d) {
		return d // it has begun anew
	}
	since := slices.Clone(d)
	for i := range since {
		since[i].count = max(0, since[i].count-before[i].count)
	}
	return since
}

// count returns how many are in d.
func (d distribution) count() float64 {
	if len(d) == 0 {
		return 0
	}
	return d[len(d)-1].count
}

// quantile returns what the part q of all stays below, as histogram_quantile of
// Prometheus does: evenly spread within a bucket. It is NaN if there is nothing.
func (d distribution) quantile(q float64) float64 {
	n := d.count()
	if n == 0 {
		return math.NaN()
	}
	var low, below float64
	for _, b := range d {
		if b.count >= q*n {
			if math.IsInf(b.most, 1) {
				return low
			}
			if b.count == below {
				return b.most
			}
			return low + (b.most-low)*(q*n-below)/(b.count-below)
		}
		low, below = b.most, b.count
	}
	return low
}
