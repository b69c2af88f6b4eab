package browser

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// axePath is where .ci/run installs axe-core.
const axePath = "../../bin/npm/node_modules/axe-core/axe.min.js"

// axe has axe-core look at the page as it is: it finds nothing that is serious or
// critical. Without axe-core it does nothing.
func (b *tab) axe(what string) {
	b.t.Helper()
	text, err := os.ReadFile(axePath)
	if err != nil {
		return
	}
	eval[bool](b, `!!window.axe || `+string(text)+`;true`)
	found := eval[[]string](b, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary).join(" | ")))`)
	for _, f := range found {
		b.t.Errorf("%s: %s", what, f)
	}
}

// TestAccessibility has axe-core look at each page, light and wide, dark and
// narrow, and at what opens in them.
func TestAccessibility(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(axePath); err != nil {
		t.Skip("there is no axe-core: ", err)
	}
	s, all, addrs := web(t, 3, "--copilot=openai", "--copilot-model=m", "--copilot-url=http://127.0.0.1:1/v1")
	load(t, "http://"+s.addr("l7")+"/", 2)
	b := open(t, dashboard(s))
	b.await("numbers", `/[1-9]/.test(document.querySelector(".tile .value").textContent)`)
	all[0].kill()
	b.page("services")
	b.pick(addrs[1])
	b.press("Weight…")
	b.order(s, "try")
	for _, key := range pagesThere(b) {
		b.page(key)
		switch key {
		case "services": // with one backend in full
			b.await("rows", `document.querySelectorAll(".row.pick").length === 3`)
			b.pick(addrs[0])
		case "explain":
			b.press("Explain")
			b.await("an answer", `document.querySelector("#main ol li")`)
		case "copilot":
			b.set("#question", "Why?")
			b.press("Show what is sent")
			b.await("what would be sent", `document.querySelector("#main details[open]")`)
		}
		for theme, width := range map[string]int64{"light": 1280, "dark": 360} {
			b.do(chromedp.EmulateViewport(width, 900))
			b.theme(theme)
			b.axe("page " + key + ", " + theme)
			b.picture("full-" + key + "-" + theme)
		}
	}
	b.do(chromedp.EmulateViewport(1280, 900))
	b.page("services")
	b.pick(addrs[1])
	b.press("Drain…")
	b.await("the form", `document.querySelector("dialog[open]")`)
	for _, theme := range []string{"light", "dark"} {
		b.theme(theme)
		b.axe("a form, " + theme)
	}
}

// TestKeyboard finds its way without a pointer: to the page past the list of
// pages, to a backend, to a form, out of it again, along a chart.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	s, _, _ := web(t, 2)
	b := open(t, dashboard(s))
	b.await("the page", `document.querySelector(".tile .value")`)
	focus := func(what, expression string) {
		t.Helper()
		b.await("the focus is on "+what, `((e) => `+expression+`)(document.activeElement)`)
	}
	b.do(chromedp.KeyEvent(kb.Tab))
	focus("the link past the pages", `e.className === "skip"`)
	b.do(chromedp.KeyEvent(kb.Enter))
	focus("the page", `e.id === "main"`)
	b.await("still the page that it was", `document.querySelector("#main [data-page]").dataset.page === "overview"`)
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Tab))
	focus("a chart", `e.classList.contains("chart")`)
	b.do(chromedp.KeyEvent(kb.ArrowLeft))
	b.await("a single value", `/\d\d:\d\d:\d\d/.test(document.activeElement.parentElement.querySelector(".extra").textContent)`)
	if outline := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
		t.Error("the focus is not seen")
	}
	b.page("services")
	b.await("the rows", `document.querySelectorAll(".row.pick").length === 2`)
	eval[bool](b, `(document.querySelector("input[type=search]").focus(), true)`)
	reached := false
	for range 20 { // past the heads of columns
		b.do(chromedp.KeyEvent(kb.Tab))
		if reached = eval[bool](b, `document.activeElement.classList.contains("pick")`); reached {
			break
		}
	}
	if !reached {
		t.Fatal("no row is reached")
	}
	b.do(chromedp.KeyEvent(kb.ArrowDown))
	focus("the second row", `e.getAttribute("aria-rowindex") === "3"`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.await("the backend", `[...document.querySelectorAll("button")].some((x) => x.textContent === "Drain…")`)
	eval[bool](b, `([...document.querySelectorAll("button")].find((x) => x.textContent === "Drain…").focus(), true)`)
	b.do(chromedp.KeyEvent(kb.Enter))
	focus("the first field of the form", `e.closest("dialog[open]") && e.tagName === "INPUT"`)
	b.do(chromedp.KeyEvent(kb.Escape))
	focus("the button again", `!document.querySelector("dialog[open]") && e.textContent === "Drain…"`)
	if got := s.changes(); strings.TrimSpace(got) != "" {
		t.Fatalf("something was changed: %s", got)
	}
	b.clean()
}
