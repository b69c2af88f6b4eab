package browser

import (
	"encoding/json"
	"testing"
)

// TestModules calls the functions of the page's modules as the page has them.
func TestModules(t *testing.T) {
	t.Parallel()
	s, _, _ := web(t, 1)
	b := open(t, dashboard(s))
	f := func(module, expression, want string) {
		t.Helper()
		got := eval[string](b, `import("/dashboard/`+module+`").then((m) => JSON.stringify(`+expression+`))`)
		if got != want {
			t.Errorf("unexpected value of %s of %s; got %s; want %s", expression, module, got, want)
		}
	}
	// Charts: what is unknown is a gap, one value alone is seen, and nothing leaves
	// the picture.
	f("chart.js", `m.line([0, 5, 10], 100, 50, 10)`, `"M0 50L50 25L100 0"`)
	f("chart.js", `m.line([1, null, 1], 100, 50, 1)`, `"M0 0h25M100 0h25"`)
	f("chart.js", `m.line([null, null], 100, 50, 1)`, `""`)
	f("chart.js", `m.line([], 100, 50, 1)`, `""`)
	f("chart.js", `m.line([20, -5], 100, 50, 10)`, `"M0 0L100 50"`)
	f("chart.js", `m.area([0, 10], 100, 50, 10)`, `"M0 50L0 50L100 0L100 50Z"`)
	f("chart.js", `m.area([1, null, 1], 100, 50, 1)`, `""`)
	f("chart.js", `m.range([3, null, -1, undefined, 2])`, `{"low":-1,"high":3}`)
	f("chart.js", `m.range([null])`, `null`)
	f("chart.js", `[0, -1, NaN, 0.3, 1, 1.1, 2.2, 7, 374].map(m.nice)`, `[1,1,1,0.5,1,2,2.5,10,500]`)
	f("chart.js", `m.places([{time: 0}, {time: 5}, {time: 11}], 1, 11, 100).map((p) => p.x)`, `[40,100]`)
	f("chart.js", `m.places([{time: 0}], 1, 1, 100)`, `[]`)
	f("chart.js", `m.summary("Requests", [1, null, 5, 3], (v) => v + " /s")`, `"Requests: now 3 /s, lowest 1 /s, highest 5 /s"`)
	f("chart.js", `m.summary("Requests", [null], String)`, `"Requests: nothing is known yet"`)
	// Numbers and times.
	f("format.js", `[null, NaN, 0, 0.5, 12.34, 99.99, 150.4, 9999, 12345, 2.5e6, 3e9].map(m.count)`, `["–","–","0","0.5","12.3","100","150","9999","12.3 k","2.5 M","3 G"]`)
	f("format.js", `[null, 0, 999, 1000, 1.5e6, 2e12, 5e16].map(m.bytes)`, `["–","0 B","999 B","1 kB","1.5 MB","2 TB","50000 TB"]`)
	f("format.js", `[null, 0.00005, 0.0123, 0.5, 2.345].map(m.seconds)`, `["–","50 µs","12.3 ms","500 ms","2.35 s"]`)
	f("format.js", `[0, 59.6, 61, 3700, 90000, -5].map(m.duration)`, `["0 s","1 min ","1 min 1 s","1 h 1 min","1 d 1 h","0 s"]`)
	f("format.js", `[m.utc("2030-01-02T03:04:05.678Z"), m.utc("x"), m.clock("x")]`, `["2030-01-02 03:04:05 UTC","","–"]`)
	// The stream, in whatever pieces it comes.
	stream := "retry: 5\n: comment\n\nid: a-1\nevent: change\ndata: {\"x\":1}\ndata: 2\n\ndata:none\r\n\r\ndata: cut"
	quoted, err := json.Marshal(stream)
	if err != nil {
		t.Fatal(err)
	}
	want := `[["change","{\"x\":1}\n2","a-1"],["message","none","a-1"]]`
	f("api.js", `((all, p) => { p = m.parser((...e) => all.push(e)); p(`+string(quoted)+`); return all; })([])`, want)
	f("api.js", `((all, p) => { p = m.parser((...e) => all.push(e)); for (const c of `+string(quoted)+`) p(c); return all; })([])`, want)
	f("lists.js", `[m.quantile([[0.1, 50], [1, 100], [Infinity, 100]], 0.75), m.quantile([[Infinity, 3]], 0.5), String(m.quantile([], 0.5))]`, `[0.55,0,"NaN"]`)
	// What is kept is bounded, however long the page is open and whatever comes and
	// goes: some hours here, a frame a second.
	f("state.js", `((s) => {
		s.metrics = ["requests", "p99"]; s.total.next = 0; s.askingWide = true;
		for (let n = 0; n < 20000; n++) {
			const name = "service-" + (n % 50), gone = "service-" + ((n + 25) % 50);
			s.take({ at: n * 1000, whole: false, services: { [name]: { sources: [] }, [gone]: null }, backends: { [name]: { ["b" + n]: { address: "a" + n } } }, counts: { [name]: { ["b" + n]: [0, n, 0, 0, 0, 1, 0, 1, 0, 0] } },
				marks: [{ at: new Date(n * 1000).toISOString(), kind: "transition", service: name, backend: "b" + n, text: "up" }], step: { n, total: [n, 1], services: {} } });
		}
		return [s.total.columns.requests.length, s.total.columns.requests[899], s.total.next - s.total.first, s.marks.length, s.services.size, [...s.backends.values()].reduce((n, m) => n + m.size, 0)];
	})(new m.State())`, `[900,19999,900,512,25,25]`)
	// Text: what controls a terminal or turns its direction is shown.
	f("dom.js", `m.printable("a\u0000\u001b[31m\u202eb\u00e9<b>")`, `"a\\u0000\\u001b[31m\\u202ebé<b>"`)
	f("dom.js", `((e) => [e.childNodes.length, e.textContent, e.firstChild.nodeType])(m.h("p", {}, "<img src=x>"))`, `[1,"<img src=x>",3]`)
	f("dom.js", `["javascript:alert(1)", "//evil.example/", "https://evil.example/", "/debug/pprof/", "#/services"].map((x) => m.h("a", {href: x}).getAttribute("href"))`, `["#","#","#","/debug/pprof/","#/services"]`)
}
