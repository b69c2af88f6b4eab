package history

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// service is a service of which a test counts what happens.
type service struct {
	requests, failed, in, active, retries float64
	buckets                               [4]float64 // up to 10 ms, 100 ms, 1 s and above
}

func text(services map[string]*service) []byte {
	var b strings.Builder
	for name, s := range services {
		fmt.Fprintf(&b, "sluice_l7_requests_total{service=%q,code=\"2xx\"} %g\n", name, s.requests-s.failed)
		fmt.Fprintf(&b, "sluice_l7_requests_total{service=%q,code=\"5xx\"} %g\n", name, s.failed)
		fmt.Fprintf(&b, "sluice_l7_requests{service=%q} %g\n", name, s.active)
		fmt.Fprintf(&b, "sluice_l7_bytes_total{service=%q,direction=\"in\"} %g\n", name, s.in)
		fmt.Fprintf(&b, "sluice_l7_retries_total{service=%q} %g\n", name, s.retries)
		sum := 0.0
		for i, le := range []string{"0.01", "0.1", "1", "+Inf"} {
			sum += s.buckets[i]
			fmt.Fprintf(&b, "sluice_l7_request_duration_seconds_bucket{service=%q,le=%q} %g\n", name, le, sum)
		}
	}
	return []byte(b.String())
}

// TestSums has services count at random, and seconds that are missed, and
// checks that nothing is lost or counted twice.
func TestSums(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			services := map[string]*service{"a": {}, `b"\n{`: {}}
			s := New(time.Now())
			s.Add(time.Now(), Read(text(services)))
			missed := make(map[int]bool)
			for range 300 + random.IntN(500) {
				pause := time.Second
				if random.IntN(20) == 0 {
					pause *= time.Duration(1 + random.IntN(5))
				}
				n := s.number(time.Now())
				for i := n + 1; i < s.number(time.Now().Add(pause)); i++ {
					missed[i] = true
				}
				time.Sleep(pause)
				for _, x := range services {
					k := float64(random.IntN(100))
					x.requests, x.failed, x.in, x.active = x.requests+k, x.failed+math.Floor(k/7), x.in+100*k, k
					x.buckets[random.IntN(4)] += k
				}
				s.Add(time.Now(), Read(text(services)))
				s.Add(time.Now(), Read(text(services))) // within the same second
			}
			want := 0.0
			for name, x := range services {
				// What passed while seconds were missed is a rate: it counts for all of them.
				got, gap := 0.0, 1.0
				for n, step := range s.Range(name, 0) {
					if math.IsNaN(float64(step[Requests])) {
						if n > 1 && !missed[n] { // the first reading makes no step
							t.Fatalf("seed %d: step %d is unknown and was not missed", seed, n)
						}
						gap++
						continue
					}
					if n <= 1 {
						gap = 1
					}
					got += gap * float64(step[Requests])
					gap = 1
				}
				if math.Abs(got-x.requests) > 1e-3*x.requests+5 {
					t.Fatalf("seed %d: unexpected number of requests of %q; got %g; want %g", seed, name, got, x.requests)
				}
				want += x.active
			}
			if _, total, _ := s.Latest(); total[InFlight] != float32(want) {
				t.Fatalf("unexpected number in flight; got %g; want %g", total[InFlight], want)
			}
		})
	}
}

// TestBounded runs for a simulated week with services that come and go: memory
// stays what it was after the first hours.
func TestBounded(t *testing.T) {
	t.Parallel()
	start := time.Now()
	s := New(start)
	// Readings are made once: what is tried here is the store.
	readings := make([]Reading, 40)
	for i := range readings {
		r := Reading{Services: make(map[string]*Counts)}
		for j := range 20 {
			c := &Counts{}
			c.counters[requests] = float64(1 + i + j)
			r.Services[fmt.Sprint("service-", (i*20+j)%(3*MaxServices))] = c
			r.Total.add(c)
		}
		readings[i] = r
	}
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	var early float64
	for n := range 7 * 24 * 3600 / 10 { // every tenth second
		now := start.Add(time.Duration(10*n) * time.Second)
		s.Add(now, readings[n/300%len(readings)])
		if n%7 == 0 {
			s.Mark(Mark{At: now, Kind: Transition, Service: "x", Text: strings.Repeat("é", 400)})
		}
		if n == 3600 {
			early = heap()
		}
	}
	if len(s.services) > MaxServices || len(s.marks) > MaxMarks {
		t.Fatalf("unexpected number of services and marks: %d, %d", len(s.services), len(s.marks))
	}
	for _, m := range s.marks {
		if len(m.Text) > MaxText {
			t.Fatalf("a text of %d bytes", len(m.Text))
		}
	}
	if late := heap(); late > early+4 {
		t.Fatalf("it has grown from %.1f to %.1f MiB", early, late)
	}
	if size := unsafe.Sizeof(ring{}); size > 69<<10 {
		t.Fatalf("a ring takes %d bytes, more than the package's doc says", size)
	}
	runtime.KeepAlive(s)
}

// TestMaxServices has more services with traffic than are kept: the total knows
// of all, those that are left out are counted, and one that goes makes place.
func TestMaxServices(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := New(now)
	add := func(skip int) {
		services := make(map[string]*service)
		for i := range MaxServices + 10 {
			if i < skip {
				continue
			}
			services[fmt.Sprint(i)] = &service{requests: float64(s.total.last+5) * 10, active: 1}
		}
		services["idle"] = &service{}
		s.Add(now, Read(text(services)))
		now = now.Add(time.Second)
	}
	add(0)
	add(0)
	a := s.Ask(Question{Service: "*"})
	if len(a.Series) != MaxServices+1 || a.Omitted != 10 {
		t.Fatalf("unexpected answer: %d series, %d omitted", len(a.Series), a.Omitted)
	}
	if got := s.Range("idle", 0); got != nil {
		t.Fatalf("a service without traffic takes memory: %d steps", len(got))
	}
	for range 4 {
		add(20)
	}
	if a = s.Ask(Question{Service: "*"}); a.Omitted != 0 || len(a.Series) > MaxServices+1 {
		t.Fatalf("unexpected answer after some have gone: %d series, %d omitted", len(a.Series), a.Omitted)
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	d := distribution{{0.01, 50}, {0.1, 95}, {1, 100}, {math.Inf(1), 100}}
	for q, want := range map[float64]float64{0.5: 0.01, 0.95: 0.1, 0.975: 0.55, 1: 1} {
		if got := d.quantile(q); math.Abs(got-want) > 1e-9 {
			t.Fatalf("unexpected quantile %g; got %g; want %g", q, got, want)
		}
	}
	if got := (distribution{{0.01, 0}, {math.Inf(1), 5}}).quantile(0.5); got != 0.01 {
		t.Fatalf("unexpected quantile beyond all bounds: %g", got)
	}
	if got := (distribution{}).quantile(0.5); !math.IsNaN(got) {
		t.Fatalf("unexpected quantile of nothing: %g", got)
	}
	began := d.since(distribution{{0.01, 500}, {0.1, 500}, {1, 500}, {math.Inf(1), 500}})
	if began.count() != 100 {
		t.Fatalf("unexpected count after a counter began anew: %g", began.count())
	}
}

// TestRead reads what l4, l7 and listeners write.
func TestRead(t *testing.T) {
	t.Parallel()
	r := Read([]byte(`# HELP sluice_l7_requests_total x
sluice_l7_requests_total{service="a",code="2xx"} 5
sluice_l7_requests_total{service="a",code="4xx"} 2
sluice_l7_requests_total{code="5xx",service="a"} 1
sluice_l7_failed_total{service="a",reason="client_abort"} 7
sluice_l7_failed_total{service="a",reason="no_backend"} 3
sluice_l7_breaker_openings_total{service="a",backend="x"} 2
sluice_l4_connections_total{service="b",reason="client_eof"} 10
sluice_l4_connections_total{service="b",reason="dial_failed"} 4
sluice_l4_connections{service="b"} 6
sluice_l4_connect_retries_total{service="b"} 5
sluice_l4_connect_hedges_total{service="b"} 2
sluice_l4_bytes_total{service="b",direction="out"} 1e9
sluice_l4_connect_retries_denied_total{service="b"} 9
sluice_listener_accepted_total{listener="l4",name="x"} 40
sluice_l7_rejected_total{reason="rate_limited"} 5
sluice_listener_rejected_total{listener="l4",name="x",reason="client_conns"} 3
sluice_l7_rejected_total{reason="bad_request"} 8
sluice_listener_rejected_total{listener="x",reason="max_conns"} 1
sluice_l7_requests_total{myservice="no",code="2xx"} 5
sluice_l7_requests{service="q\"\\\n"} 1
sluice_l7_requests{service="broken
sluice_l7_requests{service="nan"} NaN
nonsense`))
	a, b := r.Services["a"], r.Services["b"]
	f := func(name string, got, want float64) {
		t.Helper()
		if got != want {
			t.Fatalf("unexpected %s; got %g; want %g", name, got, want)
		}
	}
	f("requests", a.counters[requests], 8)
	f("4xx", a.counters[clientErrors], 2)
	f("5xx", a.counters[serverErrors], 1)
	f("failed", a.counters[failed], 3)
	f("openings", a.counters[openings], 2)
	f("ended", b.counters[ended], 14)
	f("unserved", b.counters[failed], 4)
	f("retries", b.counters[retries], 5)
	f("failovers", b.counters[failovers], 3)
	f("refused", r.Total.counters[refused], 17)
	f("accepted", r.Clients.Accepted, 40)
	f("rate limited", r.Clients.RateLimited, 5)
	f("too many of a client", r.Clients.TooMany, 3)
	f("denied", b.counters[denied], 9)
	f("total requests", r.Total.counters[requests], 8)
	f("strange name", r.Services["q\"\\\n"].counters[inFlight], 1)
	if len(r.Services) != 3 {
		t.Fatalf("unexpected services: %v", r.Services)
	}
}

// TestConnectionsBegun counts a TCP connection when it begins, not when it ends.
func TestConnectionsBegun(t *testing.T) {
	t.Parallel()
	count := func(ended, open int) Reading {
		return Read(fmt.Appendf(nil, "sluice_l4_connections_total{service=\"b\",reason=\"client_eof\"} %d\nsluice_l4_connections{service=\"b\"} %d\n", ended, open))
	}
	now := time.Now()
	s := New(now)
	for i, r := range []Reading{count(10, 5), count(10, 8), count(18, 0), count(0, 2)} {
		s.Add(now.Add(time.Duration(i)*time.Second), r)
	}
	want := []float32{3, 0, 2} // the last: the counter began anew
	for i, step := range s.Range("b", 1) {
		if step[Connections] != want[i] {
			t.Fatalf("unexpected number of connections that began in step %d: %g; want %g", i, step[Connections], want[i])
		}
	}
}

// TestAsk asks as the page does: once for all, and then for what is new.
func TestAsk(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := New(now)
	x := &service{}
	var got, gotWide []float32
	next, nextWide := 0, 0
	for n := range 2 * Steps {
		x.requests += float64(n % 50)
		s.Add(now.Add(time.Duration(n)*time.Second), Read(text(map[string]*service{"web": x})))
		if n > 0 && n%37 == 0 {
			s.Mark(Mark{At: now.Add(time.Duration(n) * time.Second), Kind: Operator, Text: fmt.Sprint(n)})
			a := s.Ask(Question{Service: "web", Since: next})
			next = a.Next
			for _, step := range a.Series[0].Steps {
				got = append(got, step[Requests])
			}
			a = s.Ask(Question{Service: "web", Since: nextWide, Width: 10})
			nextWide = a.Next
			for _, step := range a.Series[0].Steps {
				gotWide = append(gotWide, step[Requests])
			}
			if len(a.Marks) == 0 || a.Marks[len(a.Marks)-1].Text != fmt.Sprint(n) {
				t.Fatalf("unexpected marks after %d s: %v", n, a.Marks)
			}
		}
	}
	for n := 1; n < len(got); n++ {
		if got[n] != float32(n%50) {
			t.Fatalf("unexpected step %d; got %g; want %d", n, got[n], n%50)
		}
	}
	for n := 1; n < len(gotWide); n++ {
		if want := float32(10*n%50) + 4.5; gotWide[n] != want {
			t.Fatalf("unexpected value %d of ten seconds; got %g; want %g", n, gotWide[n], want)
		}
	}
	if len(got) < 2*Steps-40 || len(gotWide) < 2*Steps/10-5 {
		t.Fatalf("unexpected number of values: %d, %d", len(got), len(gotWide))
	}
	if a := s.Ask(Question{}); len(a.Series[0].Steps) != Steps {
		t.Fatalf("unexpected number of steps of all that is kept: %d; want %d", len(a.Series[0].Steps), Steps)
	}
}

// TestHTTP asks over HTTP; names that are strange are strings in JSON.
func TestHTTP(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := New(now)
	name := "<b>\"x\n"
	x := &service{}
	for n := range 5 {
		x.requests++
		s.Add(now.Add(time.Duration(n)*time.Second), Read(text(map[string]*service{name: x})))
	}
	s.Mark(Mark{At: now, Kind: Contact, Text: "</script>"})
	ask := func(query string, code int) (answer map[string]any) {
		t.Helper()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/admin/history?"+query, nil))
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != code {
			t.Fatalf("unexpected answer to %q: %d, %v: %s", query, w.Code, err, w.Body)
		}
		return answer
	}
	all := ask("service=*", 200)
	series := all["series"].([]any)
	if len(series) != 2 || series[1].(map[string]any)["service"] != name || len(series[0].(map[string]any)) != Metrics+1 {
		t.Fatalf("unexpected series: %v", series)
	}
	if r := series[0].(map[string]any)["requests"].([]any); len(r) != 5 || r[0] != nil || r[4] != 1.0 {
		t.Fatalf("unexpected requests: %v", r)
	}
	if p := series[0].(map[string]any)["p99"].([]any); p[4] != nil {
		t.Fatalf("unexpected quantile without any time: %v", p)
	}
	if one := ask("metrics=requests,p99&since=3", 200)["series"].([]any)[0].(map[string]any); len(one) != 3 || len(one["requests"].([]any)) != 2 {
		t.Fatalf("unexpected answer: %v", one)
	}
	if none := ask("service=nobody", 200)["series"].([]any); len(none) != 0 {
		t.Fatalf("unexpected series of nobody: %v", none)
	}
	if late := ask("since=1000000", 200); late["next"] != 1000000.0 {
		t.Fatalf("unexpected answer of the future: %v", late)
	}
	for _, bad := range []string{"metrics=x", "since=-1", "since=x", "since=99999999999999", "width=0", "width=301", "width=x", "nothing=1", "since=1&since=2"} {
		if got := ask(bad, 400); got["error"] == "" {
			t.Fatalf("unexpected answer to %q: %v", bad, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(text(map[string]*service{"a": {requests: 3}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		now := time.Now()
		s := New(now)
		s.Add(now, Read(nil))
		s.Add(now.Add(time.Second), Read(text))
		if b := s.Ask(Question{Service: "*"}).append(nil, nil); !json.Valid(b) {
			t.Fatalf("invalid JSON: %s", b)
		}
	})
}

// BenchmarkRead reads the metrics of 50 services.
func BenchmarkRead(b *testing.B) {
	services := make(map[string]*service)
	for i := range 50 {
		services[fmt.Sprint("service-", i)] = &service{requests: 1e6}
	}
	all := text(services)
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		Read(all)
	}
}

// TestHour has the latency of a service double after half an hour; minutes say
// so, by the mean of what came in each.
func TestHour(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := New(now)
	count, sum := 0, 0.0
	for n := range 3600 + 120 {
		k := n % 7
		count += k
		took := 0.010
		if n > 1800 {
			took = 0.020
		}
		sum += took * float64(k)
		s.Add(now.Add(time.Duration(n)*time.Second), Read(fmt.Appendf(nil, "sluice_l7_requests_total{service=\"a\",code=\"2xx\"} %d\nsluice_l7_request_duration_seconds_bucket{service=\"a\",le=\"+Inf\"} %d\nsluice_l7_request_duration_seconds_sum{service=\"a\"} %g\n", count, count, sum)))
	}
	hour := s.Hour("a")
	if len(hour) != Minutes || s.Hour("b") != nil {
		t.Fatalf("unexpected number of minutes: %d", len(hour))
	}
	for i, m := range hour {
		want := float32(0.010)
		if i >= 29 {
			want = 0.020
		}
		if math.Abs(float64(m[Mean]-want)) > 0.0005 || m[Requests] < 2.9 || m[Requests] > 3.1 {
			t.Fatalf("unexpected minute %d: mean %g, %g requests a second; want %g, 3", i, m[Mean], m[Requests], want)
		}
	}
}
