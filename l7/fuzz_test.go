package l7

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// oneRoute returns what decides for a listener whose only route is "/".
var oneRoute = sync.OnceValue(func() *gate.Gate {
	pool := backend.NewPool("web")
	pool.Set([]backend.Target{{ID: "a", Address: "192.0.2.9:80", Weight: 1}})
	b, err := balance.New(pool, "round_robin")
	if err != nil {
		panic(err)
	}
	var cfg gate.Config
	cfg.Routes, cfg.Logger, cfg.Metrics = []Route{{Path: "/", Balancer: b}}, slog.New(slog.DiscardHandler), metrics.NewSet()
	g, err := gate.New("test", &net.TCPAddr{Port: 80}, cfg)
	if err != nil {
		panic(err)
	}
	return g
})

// forwardAll takes text, what a client sends, through everything that judges
// and rewrites requests, in pieces that cut says the lengths of, and returns
// what would go to backends. Of a request that is refused, or not complete,
// there is the beginning; whole is where it begins.
func forwardAll(text []byte, cut func(left int) int) (out []byte, whole int, refused bool) {
	var b http1.Body
	var in []byte // of a head, or ahead of it
	inBody, bodied := false, false
	one := oneRoute()
	client := one.Client(gate.Arrival{Client: netip.MustParseAddrPort("192.0.2.1:1")})
	now := gate.Now{Mono: 1, Time: time.Unix(1, 0)}
	var x gate.Ticket
	begun := false
	end := func() {
		if begun {
			x.End(now)
		}
		begun = false
	}
	defer end()
	searched := 0
	for {
		for !inBody {
			if n := http1.EmptyLines(in, bodied); n > 0 {
				in, searched = in[n:], 0
			}
			n, ok := http1.ScanHead(in, searched)
			if !ok || n > 32<<10 {
				return out, whole, true
			}
			if n == 0 {
				if r, _ := http1.CheckStart(in, http1.MaxTarget); r != 0 {
					return out, whole, true
				}
				searched = len(in)
				break
			}
			end()
			x.Begin(one, &client, now, now.Time)
			begun = true
			x.Raw = append(x.Raw, in[:n]...)
			if f, _ := x.Req.Parse(x.Raw); f != 0 {
				return out, whole, true
			}
			in, searched = in[n:], 0
			if x.Judge(now) != gate.Forward || x.Authorise() != gate.Forward || x.Admit(now) != gate.Forward || x.Pick(now) != gate.Forward {
				return out, whole, true
			}
			out = append(out, x.AppendRequest(nil, gate.Shared)...)
			b = x.RequestBody()
			inBody, bodied = true, x.Req.Length != http1.NoLength
			p := in
			in = nil
			if out, in, ok = pushBody(out, &x.Req, &b, p); !ok {
				return out, whole, true
			}
			if b.Done() {
				inBody, whole = false, len(out)
			}
		}
		if len(text) == 0 {
			return out, whole, false
		}
		n := cut(len(text))
		p := append([]byte(nil), text[:n]...)
		text = text[n:]
		if !inBody {
			in = append(in, p...)
			continue
		}
		var ok bool
		if out, in, ok = pushBody(out, &x.Req, &b, p); !ok {
			return out, whole, true
		}
		if b.Done() {
			inBody, whole = false, len(out)
		}
	}
}

func pushBody(out []byte, h *http1.Head, b *http1.Body, p []byte) (sent, rest []byte, ok bool) {
	if b.Done() {
		return out, p, true
	}
	data, n, err := b.Decode(append([]byte(nil), p...))
	if h.Length == http1.Chunked {
		out = http1.AppendChunks(out, data, b)
	} else {
		out = append(out, data...)
	}
	return out, p[n:], err == nil
}

// judgeForwarded reads what goes to backends with the strict recorder's eyes
// and returns the requests in it.
func judgeForwarded(t *testing.T, text, out []byte, whole int, refused bool) string {
	t.Helper()
	var seen []string
	rest := string(out[:whole])
	for rest != "" {
		m, n, err := readStrict(rest)
		if err != nil {
			t.Fatalf("of %q the backend is sent %q, which is not clear: %v", text, rest, err)
		}
		seen = append(seen, m.String())
		rest = rest[n:]
	}
	if partial := string(out[whole:]); partial != "" {
		if _, _, err := readStrict(partial); !errors.Is(err, errShort) {
			t.Fatalf("of %q, refused %v, the backend is sent %q, which it may take for complete: %v", text, refused, partial, err)
		}
	}
	return strings.Join(seen, "|")
}

// FuzzFraming pushes bytes through the code that judges requests, whole and in
// pieces, and holds what comes out against an independent reading: nothing
// ambiguous, no request that the client has not completed, and the same
// requests however the bytes were cut.
func FuzzFraming(f *testing.F) {
	for _, v := range vectors() {
		if len(v.text) < 2000 {
			f.Add([]byte(v.text), uint64(1))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if len(text) > 20_000 {
			return
		}
		checkFraming(t, text, seed)
	})
}

func checkFraming(t *testing.T, text []byte, seed uint64) {
	t.Helper()
	out, whole, refused := forwardAll(text, func(left int) int { return left })
	want := judgeForwarded(t, text, out, whole, refused)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for _, cut := range []func(int) int{
		func(int) int { return 1 },
		func(left int) int { return 1 + rnd.IntN(min(left, 40)) },
	} {
		out, whole, again := forwardAll(text, cut)
		if got := judgeForwarded(t, text, out, whole, again); got != want || again != refused {
			t.Fatalf("cutting %q makes a difference: %q, refused %v; whole it is %q, %v", text, got, again, want, refused)
		}
	}
}

// mutate changes a text as those do who look for gaps.
func mutate(rnd *rand.Rand, text string) string {
	bits := []string{
		"\r\n", "\n", "\r", "\x00", " ", "\t", ":", ",", ";", "0", "5", "f", "-", "+", "\x0b", "\x7f", "\x80", "0\r\n\r\n", "\r\n\r\n", "GET / HTTP/1.1\r\n", "Host: a\r\n", "Host: b\r\n",
		"Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: x\r\n", "Connection: close\r\n", "Connection: content-length\r\n",
		"Expect: 100-continue\r\n", "HTTP/1.0", "http://a", "chunked", "Upgrade: h2c\r\n", "Trailer: x\r\n", "X_Y: z\r\n", "\r\n ", "5\r\nhello\r\n",
	}
	for range 1 + rnd.IntN(4) {
		i := rnd.IntN(len(text) + 1)
		switch rnd.IntN(5) {
		case 0:
			text = text[:i] + bits[rnd.IntN(len(bits))] + text[i:]
		case 1:
			j := min(i+1+rnd.IntN(4), len(text))
			text = text[:i] + text[j:]
		case 2:
			if i < len(text) {
				text = text[:i] + string([]byte{byte(rnd.IntN(256))}) + text[i+1:]
			}
		case 3:
			j := rnd.IntN(len(text) + 1)
			text = text[:i] + text[min(i, j):max(i, j)] + text[i:]
		case 4:
			if i < len(text) {
				text = text[:i] + string([]byte{text[i] ^ 0x20}) + text[i+1:]
			}
		}
		if len(text) > 4000 {
			text = text[:4000]
		}
	}
	return text
}

// TestMutants is FuzzFraming over texts that are nearly requests, as many as a
// test may take, or as SLUICE_TEST_MUTANTS says.
func TestMutants(t *testing.T) {
	t.Parallel()
	vs := vectors()
	n := 100_000
	if s := os.Getenv("SLUICE_TEST_MUTANTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() || raceEnabled {
		n = 10_000
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range n {
		v := vs[rnd.IntN(len(vs))]
		if len(v.text) > 2000 {
			continue
		}
		checkFraming(t, []byte(mutate(rnd, v.text)), uint64(i))
	}
}

// TestMutantsServed sends such texts through a real server to the strict
// recorder, which fails at what is ambiguous, and compares what came to be
// requests with what the code that judges makes of them.
func TestMutantsServed(t *testing.T) { eachDriver(t, testMutantsServed) }

func testMutantsServed(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	f := newFront(t, nil, r.addr)
	vs := vectors()
	rnd := rand.New(rand.NewPCG(8, 8))
	for range 3000 {
		v := vs[rnd.IntN(len(vs))]
		if len(v.text) > 2000 {
			continue
		}
		text := mutate(rnd, v.text)
		out, whole, refused := forwardAll([]byte(text), func(left int) int { return left })
		want := strings.ReplaceAll(judgeForwarded(t, []byte(text), out, whole, refused), "192.0.2.9:80", r.addr)
		exchangeText(t, f.addr, text, false, true)
		// A request that is followed by a bad one, or asked to be the last, may
		// be all that is served.
		if got := strings.Join(r.take(), "|"); !strings.HasPrefix(want, got) {
			t.Fatalf("of %q the backend saw %q; want %q", text, got, want)
		}
	}
}
