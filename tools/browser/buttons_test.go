package browser

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// backends says which backend answered each of n requests, by name.
func (p *process) backends(path string, n int) map[string]int {
	p.t.Helper()
	got := make(map[string]int)
	for range n {
		resp, err := http.Get("http://" + p.addr("l7") + path)
		if err != nil {
			p.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // for the connection's sake
		resp.Body.Close()
		name := resp.Header.Get("X-Backend")
		if name == "" {
			name = fmt.Sprint("status ", resp.StatusCode)
		}
		got[name]++
	}
	return got
}

// order fills the form that is open and sends it: first to see what it would
// change, which changes nothing, and then for good.
func (b *tab) order(s *process, reason string) {
	b.t.Helper()
	b.await("a form that asks for a reason", `document.querySelector("dialog[open] #order-reason")`)
	if !eval[bool](b, `[...document.querySelectorAll("#dialog button")].find((x) => x.textContent === "Apply").disabled`) {
		b.t.Fatal("it can be applied before it was shown")
	}
	b.set("#order-reason", reason)
	before := s.changes()
	b.press("Show what it changes")
	b.await("what it changes", `document.querySelector("#dialog [role=status] :is(li, p)") && ![...document.querySelectorAll("#dialog button")].find((x) => x.textContent === "Apply").disabled`)
	if got := s.changes(); got != before {
		b.t.Fatalf("what should only be shown was done: %s", got)
	}
	b.press("Apply")
	b.await("the form is done with", `!document.querySelector("dialog[open]")`)
}

// pick shows the backend of an address in full.
func (b *tab) pick(addr string) {
	b.t.Helper()
	row := `[...document.querySelectorAll(".row.pick")].find((r) => r.textContent.includes("` + addr + `"))`
	b.await("the row of "+addr, row)
	eval[bool](b, `(`+row+`.click(), true)`)
	b.await("the backend", `[...document.querySelectorAll("#main h2")].some((x) => x.textContent.endsWith(" `+addr+`"))`)
}

// withdraw undoes a change on the page of changes.
func (b *tab) withdraw(s *process, what string) {
	b.t.Helper()
	b.page("changes")
	row := `[...document.querySelectorAll("#main tbody tr")].find((r) => [...r.querySelectorAll("strong")].some((x) => x.textContent === "` + what + `"))`
	b.await(what+" is shown", row)
	eval[bool](b, `(`+row+`.querySelector("button").click(), true)`)
	b.order(s, "over")
	b.await(what+" is gone", `!(`+row+`)`)
}

// TestButtons presses every button that changes something and looks at what the
// proxy does then.
func TestButtons(t *testing.T) {
	t.Parallel()
	s, _, addrs := web(t, 3, "--strategy=random", "--slow-start=0s", "--health-interval=200ms")
	_, others := echos(t, 1, "--name", "other")
	b := open(t, dashboard(s)+"#/services?service=web")
	has := func(what, path string, ok func(map[string]int) bool) {
		t.Helper()
		eventually(t, what, func() bool { return ok(s.backends(path, 30)) })
	}
	all := func(got map[string]int) bool { return got["echo-1"] > 0 && got["echo-2"] > 0 && got["echo-3"] > 0 }
	without := func(got map[string]int) bool { return got["echo-1"] == 0 && got["echo-2"] > 0 }
	has("all answer", "/", all)

	// What is done to one backend, and what undoes it.
	for _, x := range []struct {
		do, undo string
		set      string // of the field value
	}{{"Drain…", "Undrain…", ""}, {"Eject…", "Readmit…", ""}, {"Force…", "", "down"}, {"Weight…", "", "0"}, {"Remove…", "", ""}} {
		b.pick(addrs[0])
		b.press(x.do)
		if x.set != "" {
			b.set("#order-value", x.set)
		}
		b.order(s, "reason of "+x.do)
		has("the backend gets nothing: "+x.do, "/", without)
		if !strings.Contains(s.changes(), "reason of "+x.do) {
			t.Fatalf("the reason is not kept: %s", s.changes())
		}
		if x.undo != "" {
			b.pick(addrs[0])
			b.press(x.undo)
			b.order(s, "well again")
		} else { // by withdrawing the change
			b.withdraw(s, strings.ToLower(strings.TrimSuffix(x.do, "…")))
			b.page("services?service=web")
		}
		has("the backend gets something again: "+x.do, "/", all)
	}
	b.pick(addrs[0])
	b.press("Reset…")
	b.order(s, "new version")

	// What is done to a service.
	b.press("Strategy…")
	b.set("#order-value", "round_robin")
	b.order(s, "evenly")
	has("each in turn", "/", func(got map[string]int) bool {
		return all(got) && got["echo-1"] > 5 && got["echo-2"] > 5 && got["echo-3"] > 5
	})
	if got := ask[struct {
		Services []struct{ Service, Strategy string }
	}](s, "/admin/strategy").Services; len(got) != 1 || got[0].Strategy != "round_robin" {
		t.Fatalf("unexpected strategies: %+v", got)
	}
	b.press("Add a backend…")
	b.set("#order-backend", others[0])
	b.set("#order-weight", "3")
	b.order(s, "more of them")
	has("the new one answers", "/", func(got map[string]int) bool { return got["other"] > 0 })
	b.press("Canary…")
	b.set("#order-target", others[0])
	b.set("#order-percent", "100")
	b.order(s, "try it")
	has("all go to the canary", "/", func(got map[string]int) bool { return got["other"] == 30 })
	b.press("Maintenance…")
	b.order(s, "closed")
	has("all are told to come later", "/", func(got map[string]int) bool { return got["status 503"] == 30 })
	b.withdraw(s, "maintenance")
	b.withdraw(s, "canary")
	has("all answer again", "/", all)

	// Routes, and connections.
	b.page("overview")
	b.await("what passed through since the start", `[...document.querySelectorAll(".sums div")].some((x) => x.innerText.startsWith("Status 2xx") && /[1-9]/.test(x.innerText.slice(10)))`)
	b.page("routes")
	b.press("Add a route…")
	b.set("#order-route", "/api=web,strip=/api,method=GET")
	b.order(s, "stripped")
	b.await("it is shown", `document.querySelector("#main").innerText.includes("strip=/api")`)
	b.await("routes can be removed", `[...document.querySelectorAll(".row")].some((r) => r.textContent.includes("strip=/api") && r.children[2].textContent === "GET")`)
	eval[bool](b, `([...document.querySelectorAll(".row")].find((r) => r.textContent.includes("strip=/api")).querySelector("button").click(), true)`)
	b.order(s, "no more")
	b.await("it is gone", `![...document.querySelectorAll(".row")].some((r) => r.textContent.includes("strip=/api"))`)
	c, err := net.Dial("tcp", s.addr("l4"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "hello\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatalf("unexpected answer: %q, %v", line, err)
	}
	b.page("connections")
	mine := `[...document.querySelectorAll(".row")].find((r) => r.textContent.includes("` + c.LocalAddr().String() + `"))`
	b.await("the connection is shown", mine)
	eval[bool](b, `(`+mine+`.querySelector("button").click(), true)`)
	b.await("the form", `document.querySelector("dialog[open] #order-reason")`)
	b.set("#order-reason", "it hangs")
	b.press("Close it")
	if n, err := io.Copy(io.Discard, c); err == nil && n > 0 {
		t.Fatalf("%d bytes came instead of the end", n)
	}
	b.await("it is gone", `!(`+mine+`)`)
	b.clean()
}

// TestForms fills in the forms that change nothing: explain, the profiles.
func TestForms(t *testing.T) {
	t.Parallel()
	s, _, addrs := web(t, 2, "--route=b.example/=web")
	b := open(t, dashboard(s)+"#/explain")
	b.set("#explain-host", "b.example")
	b.set("#explain-path", "/x")
	b.press("Explain")
	b.await("what would become of it", `document.querySelector("#main ol li") && document.querySelector("#main").innerText.includes("b.example/")`)
	if n := eval[int](b, `document.querySelectorAll("#main tbody tr").length`); n < 2 {
		t.Fatalf("unexpected number of backends and limits: %d", n)
	}
	b.await("the backends", `document.querySelector("#main").innerText.includes("`+addrs[1]+`")`)
	b.set("#explain-client", "nobody")
	b.press("Explain")
	b.await("what is wrong", `document.querySelector("#main .problem") && document.querySelector("#main .problem").innerText.includes("client")`)

	b.page("profiles")
	b.press("Take heap")
	b.await("a profile", `document.querySelector("#main").innerText.includes("Taken: ")`)
	b.set("#seconds", "1")
	b.press("Take profile")
	b.await("one that takes a while", `document.querySelector("#main").innerText.includes("sluice-profile.pprof")`)

	b.page("cost")
	b.await("the formula", `document.querySelector("#main").innerText.includes("vCPU ×")`)
	if got := ask[struct {
		VCPUs float64 `json:"task_vcpus"`
	}](s, "/admin/cost").VCPUs; got <= 0 || got > float64(cpus()) {
		t.Fatalf("unexpected size: %v vCPUs of %d", got, cpus())
	}
	b.page("config")
	b.await("what differs", `document.querySelector("#main").innerText.includes("--route") && !document.querySelector("#main .grid").innerText.includes("--health-rise")`)
	eval[bool](b, `(document.querySelector("#only").click(), true)`)
	b.await("all there is", `document.querySelector("#main").innerText.includes("--health-interval") || [...document.querySelectorAll("#main [role=status]")].some((x) => Number.parseInt(x.innerText) > 50)`)
	b.clean()
}
