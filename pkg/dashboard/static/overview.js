// Overview: the last 15 minutes of everything, by the second, and of each service.
import { h, fill, setAttr, setText } from "./dom.js";
import { bytes, clock, count, duration, seconds, utc } from "./format.js";
import { Chart } from "./chart.js";
import { Table } from "./table.js";
import { lastMinutes, stepWidth, wideSeconds } from "./state.js";
import { can, get } from "./api.js";

const perSecond = (v) => count(v) + " /s";
const bits = (v) => bytes(v) + "/s";
const tiles = [
  { name: "Requests", metric: "requests", write: perSecond },
  { name: "Connections (TCP)", metric: "connections", write: perSecond },
  { name: "Requests in flight", metric: "in_flight", write: count },
  { name: "Connections open (TCP)", metric: "open", write: count },
  { name: "Errors (5xx)", metric: "server_errors", write: perSecond, kind: "c2" },
  { name: "Not served", metric: "failed", write: perSecond, kind: "c2", about: "requests and connections that failed for another reason than the client's" },
  { name: "Errors (4xx)", metric: "client_errors", write: perSecond, kind: "c3" },
  { name: "Turned away", metric: "refused", write: perSecond, kind: "c3", about: "before they had a service: limits, bad requests, no route" },
  { name: "Latency, median", metric: "p50", write: seconds, kind: "c4" },
  { name: "Latency, p95", metric: "p95", write: seconds, kind: "c4" },
  { name: "Latency, p99", metric: "p99", write: seconds, kind: "c4" },
  { name: "Retries", metric: "retries", write: perSecond, kind: "c3" },
  { name: "Failovers", metric: "failovers", write: perSecond, kind: "c3", about: "attempts after one that failed" },
  { name: "Circuit breakers opened", metric: "circuit_opens", write: perSecond, kind: "c2" },
  { name: "Bytes in", metric: "bytes_in", write: bits },
  { name: "Bytes out", metric: "bytes_out", write: bits },
];

// recent is the latest value that is known: a second without a request has no
// latency.
function recent(values) { for (let i = values.length - 1; i >= 0 && i > values.length - 12; i--) if (values[i] !== null) return values[i]; return null; }

export async function overview(root, state, signal, query) {
  const cards = tiles.map((t) => {
    const chart = new Chart(t.name, t.write, t.kind || "").interactive(), value = h("div", { class: "value" });
    return { t, chart, value, element: h("section", { class: "card tile", title: t.about || null }, h("h3", {}, t.name), value, chart.svg, chart.note) };
  });
  const sparks = new Map();
  const spark = (cell, row, metric, write, kind) => {
    const key = row.id + "\u0000" + metric;
    let c = sparks.get(key);
    if (!c) { c = new Chart(row.id + ", " + metric, write, "spark " + kind); sparks.set(key, c); }
    if (cell.firstChild !== c.svg) cell.replaceChildren(c.svg);
    const s = state.wide.series.get(row.id);
    const values = s ? (metric === "errors" ? s.failed.map((v, i) => (v === null ? null : Math.max(v, s.server_errors[i] || 0))) : metric === "asked" ? s.requests.map((v, i) => (v === null ? null : v + (s.connections[i] || 0))) : s[metric]) : [];
    const whole = lastMinutes(values, wideSeconds);
    c.draw(whole, (state.wide.until || 0) - whole.length * wideSeconds * 1000, wideSeconds * 1000, state.marks.filter((m) => m.service === row.id));
  };
  const now = (row, ...metrics) => { let v = null; for (const m of metrics) { const x = state.latest(m, row.id); if (x !== null) v = (v || 0) + x; } return v; };
  const table = new Table({
    label: "Services", empty: "There are no services yet.", height: "30rem",
    pick: (row) => { location.hash = "#/services?service=" + encodeURIComponent(row.id); },
    columns: [
      { name: "Service", width: "minmax(7rem, 2fr)", sort: (r) => r.id, cell: (r) => r.id, title: (r) => r.id },
      { name: "Backends", width: "6.5rem", sort: (r) => r.s.eligible / Math.max(1, r.s.total), update: (c, r) => {
        const bad = r.s.eligible === 0, some = r.s.eligible < r.s.total || r.s.panic;
        let p = c.firstChild;
        if (!p) c.append(p = h("span", {}));
        setText(p, r.s.panic ? "panic " + r.s.eligible + "/" + r.s.total : r.s.eligible + " of " + r.s.total);
        setAttr(p, "class", "pill " + (bad || r.s.panic ? "bad" : some ? "warn" : "good"));
      } },
      { name: "Asked /s", width: "5.5rem", num: true, downFirst: true, sort: (r) => now(r, "requests", "connections"), cell: (r) => count(now(r, "requests", "connections")) },
      { name: "15 minutes", width: "minmax(6.5rem, 1.5fr)", update: (c, r) => spark(c, r, "asked", perSecond, "") },
      { name: "Failed /s", width: "5.5rem", num: true, downFirst: true, sort: (r) => now(r, "failed"), cell: (r) => count(now(r, "failed")) },
      { name: "15 minutes", width: "minmax(6.5rem, 1.5fr)", update: (c, r) => spark(c, r, "errors", perSecond, "c2") },
      { name: "p99", width: "5.5rem", num: true, downFirst: true, sort: (r) => now(r, "p99"), cell: (r) => seconds(recent(((state.wide.series.get(r.id) || {}).p99) || []) ?? now(r, "p99")) },
      { name: "15 minutes", width: "minmax(6.5rem, 1.5fr)", update: (c, r) => spark(c, r, "p99", seconds, "c4") },
      { name: "Strategy", width: "6.5rem", sort: (r) => r.s.strategy, cell: (r) => r.s.strategy },
    ],
  });
  const of = h("select", {}), wanted = query.get("service") || "";
  const choices = () => {
    const names = [...state.services.keys()].sort(), key = names.join("\n");
    if (choices.key === key) return;
    choices.key = key;
    fill(of, h("option", { value: "" }, "all services"), names.map((n) => h("option", { value: n, props: { value: n } }, n)));
    of.value = state.chosen && names.includes(state.chosen.service) ? state.chosen.service : "";
  };
  of.addEventListener("change", () => { history.replaceState(null, "", of.value ? "#/overview?service=" + encodeURIComponent(of.value) : "#/overview"); state.choose(of.value).catch(() => {}).finally(draw); });
  signal.addEventListener("abort", () => { state.chosen = null; });
  const sums = h("dl", { class: "sums" });
  const marks = h("ul", { class: "list" }), look = h("div", {});
  fill(root,
    h("div", { class: "tools" }, h("label", {}, "Of", of)),
    h("div", { class: "tiles live" }, cards.map((c) => c.element)),
    h("h2", {}, "Services"), table.element,
    h("h2", {}, "Since the start"), h("div", { class: "card live" }, sums),
    h("div", { class: "two" },
      h("section", {}, h("h2", {}, "What changed"), h("div", { class: "card" }, marks)),
      h("section", {}, h("h2", {}, "To look at"), look)));
  const charts = () => {
    const t = state.chosen || state.total, about = t.service ? state.marks.filter((m) => !m.service || m.service === t.service) : state.marks;
    for (const c of cards) {
      const values = t.columns[c.t.metric] || [], whole = lastMinutes(values, 1);
      c.chart.draw(whole, t.from - (whole.length - values.length) * stepWidth, stepWidth, about);
    }
    let key = state.marks.length + "/" + (state.marks.length ? state.marks[state.marks.length - 1].key : "");
    if (key === charts.key) return;
    charts.key = key;
    fill(marks, state.marks.length ? state.marks.slice(-12).reverse().map((m) => h("li", {}, h("time", { class: "muted mono", datetime: m.at, title: utc(m.at) }, clock(m.at)), " ", h("span", { class: "pill" }, m.kind), " ", m.text)) : h("li", { class: "muted" }, "Nothing in the last 15 minutes."));
  };
  const draw = () => {
    choices();
    const t = state.chosen || state.total;
    for (const c of cards) {
      const v = state.latest(c.t.metric, t.service);
      setText(c.value, c.t.write(c.t.kind === "c4" ? recent(t.columns[c.t.metric] || []) : v));
      c.element.hidden = !!t.service && c.t.metric === "refused"; // which has no service
    }
    const ids = [...state.services.keys()].sort();
    for (const key of sparks.keys()) if (!state.services.has(key.split("\u0000")[0])) sparks.delete(key);
    table.show(ids.map((id) => ({ id, s: state.services.get(id) })));
    charts();
  };
  state.addEventListener("frame", draw, { signal });
  state.addEventListener("history", charts, { signal });
  if (wanted) await state.choose(wanted).catch(() => {});
  draw();
  const total = async () => {
    const t = (await get("/admin/metrics/json?limit=1&name=sluice_ready", signal)).totals, classes = Object.entries(t.status_classes || {}).sort();
    fill(sums, [["Requests", count(t.total_requests)], ["Served", count(t.success_requests)], ["Failed", count(t.failed_requests)], ["In flight", count(t.in_flight_requests)], ...classes.map(([k, v]) => ["Status " + k, count(v)]),
      ["Average latency", t.avg_latency_ms ? seconds(t.avg_latency_ms / 1000) : "–"], ["Retries", count(t.retry_attempts)], ["Failovers", count(t.failovers)], ["Upstream errors", count(t.upstream_errors)], ["Circuit openings", count(t.circuit_opens)],
      ["TCP connections", count(t.tcp_connections)], ["of them failed", count(t.failed_tcp_connections)], ["Bytes in", bytes(t.bytes_in)], ["Bytes out", bytes(t.bytes_out)], ["Bytes across zones", bytes(t.cross_zone_bytes)], ["Runs for", duration(t.uptime_seconds)]].map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", {}, v))));
  };
  if (can("GET", "/admin/metrics/json")) {
    total().catch(() => {});
    const t = setInterval(() => total().catch(() => {}), 5000);
    signal.addEventListener("abort", () => clearInterval(t));
  }
  if (can("GET", "/admin/advice")) {
    const ask = async () => {
      const a = await get("/admin/advice", signal);
      fill(look, a.advice.length ? a.advice.slice(0, 4).map((f) => h("article", { class: "card finding " + f.severity },
        h("strong", {}, [f.service, f.backend].filter(Boolean).join(" ") || f.rule.replaceAll("_", " ")), " ", h("span", { class: "pill " + ({ critical: "bad", warning: "warn" }[f.severity] || "") }, f.severity), h("p", {}, f.evidence)))
        : h("p", { class: "card ok" }, "Nothing: no rule of the advice fires."),
      a.advice.length > 4 ? h("p", {}, h("a", { href: "#/advice" }, (a.advice.length - 4) + " more")) : null);
    };
    await ask();
    const t = setInterval(() => ask().catch(() => {}), 10000);
    signal.addEventListener("abort", () => clearInterval(t));
  }
}
