package dns

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sluice/discovery"
)

const patience = 30 * time.Second

// zone is a DNS server, on UDP and TCP of one port, whose answers a test sets.
type zone struct {
	addr string

	mu       sync.Mutex
	records  map[string][]string // "NAME TYPE" → records in presentation form
	extra    map[string][]string
	rcode    map[string]int // by question; -1: no answer
	truncate bool           // answers over UDP
	cut      int            // records that UDP answers have at most, without saying so; 0: all
	rotate   int            // the same for all answers, the next ones each time
	turn     int            // how many answers were rotated
	mangle   func(*dns.Msg) // breaks answers, if it is set
	noTCP    bool           // answers over TCP are none
	asked    map[string]int // by network and question
}

func newZone(t *testing.T) *zone {
	t.Helper()
	z := &zone{records: make(map[string][]string), extra: make(map[string][]string), rcode: make(map[string]int), asked: make(map[string]int)}
	var udp net.PacketConn
	var tcp net.Listener
	for { // the same port must be free for both
		var err error
		if udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		z.addr = udp.LocalAddr().String()
		if tcp, err = net.Listen("tcp", z.addr); err == nil {
			break
		}
		udp.Close()
	}
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: z}, {Listener: tcp, Handler: z}} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { defer close(ended); _ = s.ActivateAndServe() }() // ends with Shutdown
		<-started
		t.Cleanup(func() { _ = s.Shutdown(); <-ended })
	}
	return z
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	network := w.RemoteAddr().Network()
	question := strings.TrimSuffix(q.Question[0].Name, ".") + " " + dns.TypeToString[q.Question[0].Qtype]
	z.asked[network+" "+question]++
	a := new(dns.Msg)
	a.SetReply(q)
	rcode := z.rcode[question]
	if rcode < 0 {
		return
	}
	a.Rcode = rcode
	switch {
	case z.noTCP && network == "tcp":
		return
	case z.truncate && network == "udp":
		a.Truncated = true
	default:
		a.Answer, a.Extra = parse(z.records[question]), parse(z.extra[question])
	}
	if q.IsEdns0() != nil {
		a.SetEdns0(udpSize, false)
	}
	n := len(a.Answer)
	if z.cut > 0 && network == "udp" && n > z.cut {
		rand.Shuffle(n, func(i, j int) { a.Answer[i], a.Answer[j] = a.Answer[j], a.Answer[i] })
		a.Answer = a.Answer[:z.cut]
	}
	if z.rotate > 0 && n > z.rotate {
		var part []dns.RR
		for i := range z.rotate {
			part = append(part, a.Answer[(z.turn*z.rotate+i)%n])
		}
		a.Answer = part
		z.turn++
	}
	if z.mangle != nil {
		z.mangle(a)
	}
	_ = w.WriteMsg(a) // the client may be gone
}

func parse(lines []string) (rrs []dns.RR) {
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			panic(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// set makes z answer a question, "NAME TYPE", with records.
func (z *zone) set(question string, records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[question] = records
}

// fail makes z answer a question with a code, not at all if it is negative, or
// as set again if it is 0.
func (z *zone) fail(rcode int, questions ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, q := range questions {
		z.rcode[q] = rcode
	}
}

// breaks makes z do something to its answers.
func (z *zone) breaks(mangle func(*dns.Msg)) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.mangle = mangle
}

func (z *zone) count(question string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[question]
}

// watched is a source that is watched.
type watched struct {
	*Source
	updates chan string // members as ADDRESS*WEIGHT, with spaces between
	log     *logs
}

type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func watch(t *testing.T, c Config) *watched {
	t.Helper()
	w := &watched{updates: make(chan string, 100), log: &logs{}}
	c.Service, c.Logger = "web", slog.New(slog.NewTextHandler(w.log, nil))
	if c.MinTTL == 0 {
		c.MinTTL = time.Millisecond
	}
	var err error
	if w.Source, err = New(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Watch(ctx, func(members []discovery.Member) { // its error is ctx's
			var list []string
			for _, m := range members {
				text := m.Address
				if m.Weight != 1 {
					text += "*" + strconv.Itoa(m.Weight)
				}
				if m.Priority != 0 {
					text += "+" + strconv.Itoa(m.Priority)
				}
				list = append(list, text)
			}
			slices.Sort(list)
			w.updates <- strings.Join(list, " ")
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

func (w *watched) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-w.updates:
		if got != want {
			t.Fatalf("unexpected members; got %q; want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("no update in %s; want %q; log:\n%s", patience, want, w.log)
	}
}

func (w *watched) expectNone(t *testing.T) {
	t.Helper()
	select {
	case got := <-w.updates:
		t.Fatalf("unexpected members: %q", got)
	default:
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

// down is which addresses are down.
type down struct {
	mu   sync.Mutex
	list []string
}

func (d *down) set(list ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = list
}

func (d *down) has(addr string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.list, addr)
}

// drain returns the last update that has come, or nothing.
func (w *watched) drain() (last string) {
	for {
		select {
		case last = <-w.updates:
		default:
			return last
		}
	}
}
