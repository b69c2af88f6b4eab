package browser

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// pagesThere returns the pages that the dashboard offers.
func pagesThere(b *tab) []string {
	return eval[[]string](b, `[...document.querySelectorAll("#nav a")].map((a) => a.dataset.key)`)
}

// web starts sluice with some backends of the service web.
func web(t *testing.T, n int, more ...string) (s *process, all []*process, addrs []string) {
	t.Helper()
	all, addrs = echos(t, n)
	args := append([]string{"--l7=127.0.0.1:0", "--l4=127.0.0.1:0=web", "--route=/=web", "--route=/api=web", "--admin=127.0.0.1:0"}, more...)
	for _, a := range addrs {
		args = append(args, "--backend=web="+a)
	}
	return start(t, "sluice", args...), all, addrs
}

func dashboard(s *process) string { return "http://" + s.addr("admin") + "/dashboard/" }

// TestPages shows each page under load, in light and dark, narrow and wide: none
// has an error on the console, asks another origin, or is wider than the screen.
func TestPages(t *testing.T) {
	t.Parallel()
	s, _, _ := web(t, 3)
	load(t, "http://"+s.addr("l7")+"/", 8)
	b := open(t, dashboard(s))
	b.await("numbers", `document.querySelector(".tile .value") && /[1-9]/.test(document.querySelector(".tile .value").textContent)`)
	b.await("a line of the charts, however early the page was opened", `document.querySelector(".tile path.line").getAttribute("d").includes("L") && document.querySelector(".row svg path.line").getAttribute("d").includes("L")`)
	keys := pagesThere(b)
	for _, want := range []string{"overview", "services", "advice", "events", "config", "profiles"} {
		if !slices.Contains(keys, want) {
			t.Fatalf("unexpected pages; got %v; want %s among them", keys, want)
		}
	}
	sizes := []struct {
		name          string
		width, height int64
	}{{"360", 360, 740}, {"1280", 1280, 900}, {"4k", 3840, 2160}}
	for _, key := range keys {
		b.page(key)
		for _, size := range sizes {
			b.do(chromedp.EmulateViewport(size.width, size.height))
			b.await("a page no wider than the screen", `document.documentElement.scrollWidth <= innerWidth`)
			for _, theme := range []string{"light", "dark"} {
				b.theme(theme)
				b.picture(key + "-" + size.name + "-" + theme)
			}
		}
		b.await("no problem is shown", `![...document.querySelectorAll(".problem")].some((p) => !p.hidden && p.textContent)`)
	}
	b.clean()
}

// TestServiceCharts shows the charts of one service: those of a busy one move, and
// those of an idle one do not.
func TestServiceCharts(t *testing.T) {
	t.Parallel()
	_, more := echos(t, 1)
	s, _, _ := web(t, 2, "--route=/idle=idle", "--backend=idle="+more[0])
	load(t, "http://"+s.addr("l7")+"/", 4)
	b := open(t, dashboard(s)+"#/overview?service=web")
	tile := func(name string) string {
		return `[...document.querySelectorAll(".tile")].find((x) => x.querySelector("h3").textContent === "` + name + `")`
	}
	first := tile("Requests") + `.querySelector(".value").textContent`
	b.await("its requests", `document.querySelector(".tools select").value === "web" && /[1-9]/.test(`+first+`)`)
	b.await("its latency", `/[1-9]/.test(`+tile("Latency, p99")+`.querySelector(".value").textContent)`)
	b.await("a line", tile("Requests")+`.querySelector("path.line").getAttribute("d").includes("L")`)
	b.await("nothing of what no service has", tile("Turned away")+`.hidden`)
	b.set(".tools select", "idle")
	b.await("no requests of the other", `!/[1-9]/.test(`+first+`) && location.hash === "#/overview?service=idle"`)
	b.set(".tools select", "")
	b.await("those of all", `/[1-9]/.test(`+first+`) && !`+tile("Turned away")+`.hidden`)
	b.page("services?service=web")
	eval[bool](b, `([...document.querySelectorAll("#main a")].find((a) => a.textContent === "its charts").click(), true)`)
	b.await("its charts again", `document.querySelector(".tools select") && document.querySelector(".tools select").value === "web"`)
	b.clean()
}

// TestKilledBackend kills a backend: the page shows it as down, with the reason,
// within two seconds. On a machine that is busy with something else it may take
// longer, and another one is killed.
func TestKilledBackend(t *testing.T) {
	t.Parallel()
	const within, tries = 2 * time.Second, 4
	s, all, addrs := web(t, tries+1)
	load(t, "http://"+s.addr("l7")+"/", 4)
	b := open(t, dashboard(s)+"#/services")
	var took []time.Duration
	for i := range tries {
		row := `[...document.querySelectorAll(".row")].find((r) => r.textContent.includes("` + addrs[i] + `"))`
		b.await("the backend is up", row+" && "+row+`.textContent.includes("up")`)
		// The page itself takes the time, so that what drives the browser does not count.
		eval[bool](b, `(window.seen = new Promise((done) => { const t = setInterval(() => { const r = `+row+`; if (r && /down/.test(r.textContent) && /refused/.test(r.textContent)) { clearInterval(t); done(Date.now()); } }, 10); }), true)`)
		killed := time.Now()
		all[i].kill()
		took = append(took, time.UnixMilli(int64(eval[float64](b, "window.seen"))).Sub(killed))
		if took[i] <= within {
			break
		}
	}
	t.Logf("shown after %v", took)
	if slices.Min(took) > within {
		t.Errorf("backends that were killed were shown after %v; want %v", took, within)
	}
	b.picture("killed")
	b.clean()
}

// TestTooManyPages has more pages open than there are streams for: the page asks
// now and again instead, says so, and moves.
func TestTooManyPages(t *testing.T) {
	t.Parallel()
	s, _, _ := web(t, 1)
	load(t, "http://"+s.addr("l7")+"/", 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var bodies []io.Closer
	for { // until one is turned away
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr("admin")+"/admin/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			break
		}
		if bodies = append(bodies, resp.Body); len(bodies) > 100 {
			t.Fatal("a hundred streams are open, and there is no end")
		}
	}
	b := open(t, dashboard(s))
	b.await("it asks", `document.querySelector("#age").textContent.includes("(asking)") && document.querySelector("#banner").hidden`)
	b.await("numbers", `/[1-9]/.test(document.querySelector(".tile .value").textContent)`)
	first := eval[string](b, `document.querySelector("#age").textContent`)
	b.await("it goes on", `document.querySelector("#age").textContent !== "`+first+`" && document.querySelector("#banner").hidden`)
	for _, body := range bodies {
		body.Close()
	}
	b.await("a stream when there is room", `document.querySelector("#age").textContent.includes("(live)")`)
}

// hostile is text that would do something if it were read as anything else.
const hostile = `<img src=x onerror=alert(1)>"'&amp;<script>window.hacked=1</script>`

// TestHostileNames has backends, zones and errors with HTML, quotes and control
// characters in them: they are shown as text.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	_, addrs := echos(t, 1)
	file := filepath.Join(t.TempDir(), "members.json")
	// A zone, an ID and a reason come from outside, through a file of members.
	members := fmt.Sprintf(`[{"addr":%q,"id":%q,"zone":%q},{"addr":"127.0.0.1:1","id":%q}]`, addrs[0], hostile, hostile+"\u202e", "two"+hostile)
	if err := os.WriteFile(file, []byte(members), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "sluice", "--l7=127.0.0.1:0", "--route=/=web", "--admin=127.0.0.1:0", "--service=web,file="+file)
	// What clients send, too: a host and a path.
	req, err := http.NewRequest(http.MethodGet, "http://"+s.addr("l7")+"/%3Cscript%3Ewindow.hacked=1%3C/script%3E", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "a.example"
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
	b := open(t, dashboard(s)+"#/services")
	b.await("the backends", `document.querySelectorAll("[role=rowgroup] .row.pick").length === 2`)
	eval[bool](b, `(document.querySelector(".row.pick").click(), [...document.querySelectorAll(".row.pick")].forEach((r) => r.click()), true)`)
	b.await("the ID as text", `document.body.innerText.includes("<img src=x onerror=alert(1)>")`)
	for _, key := range pagesThere(b) {
		b.page(key)
		if n := eval[int](b, `document.querySelectorAll("main img, main script, main iframe, main object").length`); n != 0 {
			t.Fatalf("page %s has %d elements that came from outside", key, n)
		}
	}
	if eval[bool](b, `window.hacked !== undefined`) {
		t.Fatal("something from outside was run")
	}
	b.clean()
}

// TestOtherOrigin opens a page of another origin: it can neither read nor change
// anything, nor show the dashboard in a frame.
func TestOtherOrigin(t *testing.T) {
	t.Parallel()
	s, _, addrs := web(t, 2)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>other</title><body>")
	}))
	t.Cleanup(other.Close)
	b := open(t, other.URL+"/")
	admin := "http://" + s.addr("admin")
	for _, path := range []string{"/admin/backends", "/admin/live", "/admin/history", "/admin/advice", "/dashboard/", "/dashboard/app.js", "/metrics"} {
		got := eval[string](b, `fetch("`+admin+path+`").then((r) => r.text(), (e) => "no: " + e.message)`)
		if !strings.HasPrefix(got, "no: ") {
			t.Fatalf("a foreign page reads %s: %.200s", path, got)
		}
	}
	// What needs no reading: a request that changes something is refused whatever
	// comes of it, and so is a form, a script and a frame.
	for _, options := range []string{
		`method: "POST", mode: "no-cors"`, `method: "PUT"`, `method: "DELETE"`, `method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"`,
		`method: "POST", mode: "no-cors", body: new URLSearchParams({reason: "x"})`, `method: "POST", mode: "no-cors", credentials: "include"`,
	} {
		status := eval[string](b, `fetch("`+admin+`/admin/drain?url=`+addrs[0]+`", {`+options+`}).then((r) => r.type + r.status, (e) => "no: " + e.message)`)
		if !strings.HasPrefix(status, "no: ") && status != "opaque0" {
			t.Fatalf("unexpected answer to %s of a foreign page: %s", options, status)
		}
	}
	eval[bool](b, `new Promise((done) => { const i = document.createElement("iframe"); i.name = "sent"; document.body.append(i); const f = document.createElement("form"); f.method = "POST"; f.action = "`+admin+`/admin/drain?url=`+addrs[0]+`"; f.target = "sent"; document.body.append(f); i.onload = () => { i.remove(); done(true); }; f.submit(); })`)
	if got := s.changes(); got != "" {
		t.Fatalf("a foreign page has changed something: %s", got)
	}
	resp, err := http.PostForm(admin+"/admin/drain?url="+addrs[0], nil) // which no browser sends
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := s.changes(); !strings.Contains(got, "drain") {
		t.Fatalf("the same call changes nothing where it may: %s", got)
	}
	if got := eval[string](b, `new Promise((done) => { const s = document.createElement("script"); s.src = "`+admin+`/dashboard/app.js"; s.onload = () => done("loaded"); s.onerror = () => done("refused"); document.body.append(s); })`); got != "refused" {
		t.Fatalf("a foreign page runs a script of the dashboard: %s", got)
	}
	eval[bool](b, `new Promise((done) => { const f = document.createElement("iframe"); f.src = "`+admin+`/dashboard/"; f.onload = () => done(true); f.onerror = () => done(true); document.body.append(f); setTimeout(() => done(true), 3000); })`)
	if got := eval[int](b, `document.querySelector("iframe").contentWindow.length`); got != 0 {
		t.Fatalf("unexpected frames within the frame: %d", got)
	}
	// That the origin is what it fails for: the same page of its own origin does.
	own := open(t, dashboard(s))
	if got := eval[int](own, `fetch("/admin/backends").then((r) => r.status)`); got != http.StatusOK {
		t.Fatalf("unexpected status for the dashboard itself: %d", got)
	}
	// A link from elsewhere leads to it.
	b.do(chromedp.Navigate(other.URL + "/"))
	eval[bool](b, `(() => { const a = document.createElement("a"); a.href = "`+admin+`/dashboard/"; document.body.append(a); a.click(); return true; })()`)
	b.await("the dashboard after a link", `location.pathname === "/dashboard/" && document.querySelector("#nav a")`)
}

// TestToken asks for the token where one is needed, refuses a wrong one, and keeps
// the right one for the session.
func TestToken(t *testing.T) {
	t.Parallel()
	s, _, _ := web(t, 1, "--admin-token=right-token-of-32-characters-long")
	b := open(t, dashboard(s))
	b.await("the form", `document.querySelector("#ask[open] #token")`)
	b.picture("token")
	give := func(token string) {
		eval[bool](b, `(document.querySelector("#token").value = "`+token+`", document.querySelector("#ask form").requestSubmit(), true)`)
	}
	give("wrong")
	b.await("a word on the wrong one", `document.querySelector("#ask .problem").textContent.includes("not the token")`)
	give("right-token-of-32-characters-long")
	b.await("the page", `!document.querySelector("dialog[open]") && document.querySelector(".tile")`)
	b.do(chromedp.Reload())
	b.await("the page again, without asking", `document.querySelector(".tile") && !document.querySelector("dialog[open]")`)
	if got := eval[string](b, `JSON.stringify([localStorage.length, document.cookie, location.href.includes("right")])`); got != `[0,"",false]` {
		t.Fatalf("the token is kept where it should not be: %s", got)
	}
}

// TestReadToken looks with a token that only looks: what changes something asks for
// another, keeps what was filled in, and is done with it.
func TestReadToken(t *testing.T) {
	t.Parallel()
	const reads, changes = "reads-token-of-32-characters-long", "changes-token-of-32-characters-lo"
	s, _, addrs := web(t, 2, "--admin-token="+changes, "--admin-read-token="+reads)
	b := open(t, dashboard(s)+"#/services")
	give := func(token string) {
		b.set("#token", token)
		eval[bool](b, `(document.querySelector("#ask form").requestSubmit(), true)`)
	}
	b.await("the form", `document.querySelector("#ask[open] #token")`)
	give(reads)
	b.await("the page", `!document.querySelector("dialog[open]")`)
	b.pick(addrs[0])
	b.press("Drain…")
	b.set("#order-reason", "deploy")
	b.press("Show what it changes")
	b.await("the form for another token", `document.querySelector("#ask[open]") && document.querySelector("#ask").innerText.includes("may change things")`)
	give(reads)
	b.await("a word on the wrong one", `document.querySelector("#ask .problem").textContent.includes("may not change")`)
	b.press("Cancel")
	b.await("what was refused", `!document.querySelector("#ask[open]") && document.querySelector("#dialog .problem").textContent.includes("only looks")`)
	b.press("Show what it changes")
	b.await("the form again", `document.querySelector("#ask[open]")`)
	give(changes)
	b.await("what it changes", `!document.querySelector("#ask[open]") && document.querySelector("#dialog [role=status] li")`)
	b.press("Apply")
	b.await("it drains", `!document.querySelector("dialog[open]") && [...document.querySelectorAll(".row.pick")].some((r) => r.textContent.includes("draining"))`)
}

// TestStale stops sluice: the page says that what it shows is old, and goes on
// when sluice is back.
func TestStale(t *testing.T) {
	t.Parallel()
	_, addrs := echos(t, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := ln.Addr().String()
	ln.Close()
	args := []string{"--l7=127.0.0.1:0", "--route=/=web", "--admin=" + admin, "--backend=web=" + addrs[0]}
	s := start(t, "sluice", args...)
	b := open(t, dashboard(s))
	b.await("the page", `document.querySelector("#age").textContent.includes("live")`)
	s.kill()
	b.await("a banner", `!document.querySelector("#banner").hidden && document.querySelector("#banner").textContent.includes("what you see is old")`)
	if !eval[bool](b, `document.body.classList.contains("stale") && document.querySelector("#age").textContent === ""`) {
		t.Fatal("old figures look alive")
	}
	b.picture("stale")
	start(t, "sluice", args...)
	b.await("it goes on", `document.querySelector("#banner").hidden && document.querySelector("#age").textContent.includes("live") && !document.body.classList.contains("stale")`)
}

// TestThousandBackends has 1,000 backends: few rows are drawn, and search, filter,
// sort and keys work.
func TestThousandBackends(t *testing.T) {
	t.Parallel()
	_, addrs := echos(t, 2)
	var members []string
	for i := range 998 {
		members = append(members, fmt.Sprintf(`{"addr":"127.0.%d.%d:9","id":"member-%d"}`, 1+i/250, 1+i%250, i))
	}
	for i, a := range addrs {
		members = append(members, fmt.Sprintf(`{"addr":%q,"id":"good-%d"}`, a, i))
	}
	file := filepath.Join(t.TempDir(), "members.json")
	if err := os.WriteFile(file, []byte("["+strings.Join(members, ",")+"]"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--l7=127.0.0.1:0", "--route=/=web", "--admin=127.0.0.1:0", "--service=web,file=" + file}
	for i := range 200 {
		args = append(args, fmt.Sprintf("--route=/route-%d=web", i))
	}
	s := start(t, "sluice", args...)
	load(t, "http://"+s.addr("l7")+"/", 4)
	b := open(t, dashboard(s)+"#/services")
	b.await("all", `document.body.innerText.includes("1000 backends")`)
	paint := eval[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	t.Logf("first paint after %.0f ms", paint)
	if n := eval[int](b, `document.querySelectorAll(".row").length`); n > 80 {
		t.Fatalf("%d rows are drawn", n)
	}
	b.picture("thousand")
	eval[bool](b, `(document.querySelector("input[type=search]").value = "member-77", document.querySelector("input[type=search]").dispatchEvent(new Event("input")), true)`)
	b.await("those that fit", `/^(11|\d+) of 1000 backends$/.test(document.querySelector(".tools [role=status]").textContent) && document.querySelectorAll(".row.pick").length === 11`)
	eval[bool](b, `(document.querySelector("input[type=search]").value = "", document.querySelector("input[type=search]").dispatchEvent(new Event("input")), true)`)
	// The keys lead from row to row, beyond those that are drawn.
	eval[bool](b, `(document.querySelector(".row.pick").focus(), true)`)
	for range 8 {
		eval[bool](b, `(document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "PageDown", bubbles: true})), true)`)
	}
	b.await("row 81 has the focus", `document.activeElement.getAttribute("aria-rowindex") === "82"`)
	b.clean()
}

// TestDrain drains a backend by its button: first the page shows what that would
// change, then it does it, its time to live counts down, and undraining ends it.
func TestDrain(t *testing.T) {
	t.Parallel()
	s, _, addrs := web(t, 2)
	b := open(t, dashboard(s)+"#/services")
	row := `[...document.querySelectorAll(".row.pick")].find((r) => r.textContent.includes("` + addrs[0] + `"))`
	press := func(text string) {
		t.Helper()
		b.await("a button "+text, `[...document.querySelectorAll("button")].some((x) => x.textContent === "`+text+`" && !x.disabled)`)
		eval[bool](b, `([...document.querySelectorAll("button")].find((x) => x.textContent === "`+text+`").click(), true)`)
	}
	b.await("the backend is up", row+" && "+row+`.textContent.includes("up")`)
	eval[bool](b, `(`+row+`.click(), true)`)
	press("Drain…")
	b.await("the form", `document.querySelector("dialog[open] #order-reason")`)
	if !eval[bool](b, `[...document.querySelectorAll("dialog button")].find((x) => x.textContent === "Apply").disabled`) {
		t.Fatal("it can be applied before it was shown")
	}
	eval[bool](b, `(document.querySelector("#order-reason").value = "disk <b>full</b>", document.querySelector("#order-reason").dispatchEvent(new Event("input", {bubbles: true})), true)`)
	press("Show what it changes")
	b.await("what it changes", `document.querySelector("dialog [role=status] li")`)
	b.picture("drain")
	if got := eval[bool](b, row+`.textContent.includes("draining")`); got {
		t.Fatal("a dry run has drained it")
	}
	press("Apply")
	b.await("it drains", `!document.querySelector("dialog[open]") && `+row+`.textContent.includes("draining")`)
	b.await("the reason as text", `document.body.innerText.includes("disk <b>full</b>")`)
	inFull := `(/undoes itself in 5[89] min [0-9]+ s/.exec(document.querySelector("#main").textContent) || [""])[0]`
	b.await("its time to live, beside the backend", inFull)
	shown := eval[string](b, inFull)
	b.await("it counts down there", inFull+` && `+inFull+` !== "`+shown+`"`)
	b.page("changes")
	left := `(/in (59|58) min/.exec(document.querySelector("#main").textContent) || [""])[0] && document.querySelector("#main td:nth-child(5)").textContent`
	b.await("its time to live", left)
	first := eval[string](b, left)
	eval[bool](b, `(document.querySelector("#main td button").focus(), true)`)
	b.await("it counts down", left+` !== "`+first+`"`)
	if !eval[bool](b, `document.activeElement.textContent === "Undo…"`) {
		t.Fatal("who has the focus on a button loses it by the next second")
	}
	b.picture("changes")
	b.page("services")
	b.await("the row", row)
	eval[bool](b, `(`+row+`.click(), true)`)
	press("Undrain…")
	eval[bool](b, `(document.querySelector("#order-reason").value = "done", document.querySelector("#order-reason").dispatchEvent(new Event("input", {bubbles: true})), true)`)
	press("Show what it changes")
	press("Apply")
	b.await("it is up again", `!document.querySelector("dialog[open]") && !`+row+`.textContent.includes("draining")`)
	b.clean()
}
