package browser

import (
	"os"
	"testing"
)

// axePath is where .ci/run installs axe-core.
const axePath = "../../bin/npm/node_modules/axe-core/axe.min.js"

// TestAccessibility has axe-core look at each page, light and dark: it finds
// nothing that is serious or critical.
func TestAccessibility(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile(axePath)
	if err != nil {
		t.Skip("there is no axe-core: ", err)
	}
	s, all, _ := web(t, 3)
	load(t, "http://"+s.addr("l7")+"/", 2)
	b := open(t, dashboard(s))
	b.await("numbers", `document.querySelector(".tile .value") && /[1-9]/.test(document.querySelector(".tile .value").textContent)`)
	all[0].kill()
	eval[bool](b, string(axe)+";true")
	for _, key := range pagesThere(b) {
		b.page(key)
		if key == "services" { // with one backend in full
			b.await("rows", `document.querySelectorAll(".row.pick").length === 3`)
			eval[bool](b, `(document.querySelector(".row.pick").click(), true)`)
		}
		for _, theme := range []string{"light", "dark"} {
			b.theme(theme)
			found := eval[[]string](b, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary).join(" | ")))`)
			for _, f := range found {
				t.Errorf("page %s, %s: %s", key, theme, f)
			}
		}
	}
}
