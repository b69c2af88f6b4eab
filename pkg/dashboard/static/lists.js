// The pages that are a list or a form.
import { h, fill, setText } from "./dom.js";
import { bytes, clock, count, duration, seconds, utc } from "./format.js";
import { Table, plain, wide } from "./table.js";
import { call, can, get, raw, seg, stream } from "./api.js";
import { order } from "./order.js";

// often calls f now and then every so many ms, until the page is left. What goes
// wrong is shown on the page.
function often(root, signal, ms, f) {
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  root.append(problem);
  const run = async () => {
    if (document.hidden && run.once) return;
    run.once = true;
    try { await f(); problem.hidden = true; } catch (e) { if (e.name !== "AbortError") { setText(problem, "It cannot be asked now: " + e.message); problem.hidden = false; } }
  };
  const t = setInterval(run, ms);
  signal.addEventListener("abort", () => clearInterval(t));
  return run();
}

// searchable is a table with a search over all its text.
function searchable(root, table, text, tools = []) {
  const search = h("input", { type: "search", "aria-label": "Search", placeholder: "search" }), found = h("span", { class: "muted", role: "status" });
  let rows = [];
  const draw = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean), some = rows.filter((r) => { const t = text(r).toLowerCase(); return words.every((w) => t.includes(w)); });
    setText(found, some.length === rows.length ? rows.length + " in all" : some.length + " of " + rows.length);
    table.show(some);
  };
  search.addEventListener("input", draw);
  root.append(h("div", { class: "tools" }, h("label", {}, "Search", search), tools, found), table.element);
  return (all) => { rows = all; draw(); };
}

const textCell = (name, key, width, more = {}) => ({ name, width, sort: (r) => r[key], cell: (r) => String(r[key] ?? ""), title: (r) => String(r[key] ?? ""), ...more });
const numCell = (name, key, width, write = count) => ({ name, width, num: true, downFirst: true, sort: (r) => r[key], cell: (r) => write(r[key]) });

// actionCell is a column of buttons.
const actionCell = (text, f) => ({ name: "Action", width: "6.5rem", update: (c, r) => { c.of = r; if (!c.firstChild) c.append(h("button", { type: "button", onclick: () => f(c.of) }, text)); } });

export async function routes(root, state, signal) {
  const undo = (r) => order({ title: "Remove the route " + r.route, method: "DELETE", path: "/admin/routes", fixed: { route: r.route }, danger: true });
  const table = new Table({ label: "Routes", empty: "There are no HTTP routes.", columns: [
    textCell("Host", "host", "minmax(6rem, 1.5fr)", { cell: (r) => r.host || "any" }), textCell("Path", "path", "minmax(6rem, 1.5fr)"), textCell("Method", "method", "4.5rem", { cell: (r) => r.method || "all" }),
    textCell("Leads to", "service", "minmax(6rem, 1fr)", { cell: (r) => r.service + (r.canary ? ", canary " + r.canary : "") }),
    numCell("Samples", "requests_total", "5rem"), numCell("Average", "average_latency_ms", "5rem", (v) => (v ? seconds(v / 1000) : "–")), numCell("p99", "p99_latency_ms", "5rem", (v) => (v ? seconds(v / 1000) : "–")),
    textCell("From", "source", "7rem"), textCell("As set", "spec", "minmax(8rem, 2fr)"),
    ...(can("DELETE", "/admin/routes") ? [actionCell("Remove…", undo)] : []),
  ] });
  const show = searchable(root, table, (r) => [r.host, r.path, r.service, r.spec, r.source].join(" "));
  if (can("POST", "/admin/routes")) root.prepend(h("div", { class: "actions" }, h("button", { type: "button", onclick: () => order({ title: "Add or change a route", method: "POST", path: "/admin/routes", fields: [{ name: "route", label: "Route", required: true, note: "[HOST]/PATH=SERVICE[,key=value…], as --route" }], ttl: "" }) }, "Add a route…")), h("p", {}));
  await often(root, signal, 3000, async () => {
    const a = await get("/admin/routes?limit=10000", signal), times = await routeTimes(signal);
    show(a.routes.map((r, i) => ({ id: String(i) + r.route, ...r, p99_latency_ms: times.get(r.route) ?? times.get(r.host + r.path) ?? null })));
  });
}

// routeTimes reads the 99th percentile of each route from the metrics.
async function routeTimes(signal) {
  const found = new Map();
  const r = await fetchMetrics(signal);
  for (const m of r.matchAll(/^sluice_l7_route_request_duration_seconds_bucket\{route="((?:[^"\\]|\\.)*)",le="([^"]+)"\} (\S+)$/gm)) {
    const name = m[1].replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    if (!found.has(name)) found.set(name, []);
    found.get(name).push([m[2] === "+Inf" ? Infinity : Number(m[2]), Number(m[3])]);
  }
  const out = new Map();
  for (const [name, all] of found) out.set(name, quantile(all, 0.99) * 1000);
  return out;
}

// quantile returns what the part q of a histogram stays below.
export function quantile(buckets, q) {
  buckets.sort((a, b) => a[0] - b[0]);
  const n = buckets.length ? buckets[buckets.length - 1][1] : 0;
  if (!n) return NaN;
  let low = 0, below = 0;
  for (const [most, c] of buckets) {
    if (c >= q * n) return most === Infinity ? low : c === below ? most : low + (most - low) * (q * n - below) / (c - below);
    low = most; below = c;
  }
  return low;
}

async function fetchMetrics(signal) {
  const r = await raw("GET", "/metrics", { signal });
  if (!r.ok) throw new Error("the metrics cannot be read: status " + r.status);
  return r.text();
}

export async function listeners(root, state, signal) {
  const table = new Table({ label: "Listeners", columns: [
    textCell("Kind", "kind", "4rem"), textCell("Address", "address", "minmax(10rem, 1fr)"), textCell("Leads to", "services", "minmax(8rem, 2fr)", { sort: (r) => String(r.services), cell: (r) => (r.services || []).join(", "), title: (r) => (r.services || []).join(", ") }),
    textCell("TLS", "tls", "4rem", { cell: (r) => (r.tls ? "yes" : "no") }), numCell("Open", "open_connections", "5rem"), textCell("From", "source", "8rem"), textCell("As set", "spec", "minmax(10rem, 2fr)"),
  ] });
  const show = searchable(root, table, (r) => [r.kind, r.address, r.services, r.spec].join(" "));
  await often(root, signal, 2000, async () => { const a = await get("/admin/listeners?limit=10000", signal); show(a.listeners.map((l, i) => ({ id: l.kind + l.address + i, ...l }))); });
}

export async function connections(root, state, signal) {
  const client = h("input", { "aria-label": "Client", placeholder: "10.0.0.0/8" }), service = h("select", {}, h("option", { value: "" }, "all"), [...state.services.keys()].sort().map((n) => h("option", { value: n }, n)));
  const note = h("p", { class: "muted small" });
  const end = can("DELETE", "/admin/connections/{id}") ? (r) => {
    const d = document.getElementById("dialog"), reason = h("input", { id: "order-reason", required: true, autocomplete: "off" });
    fill(d, h("form", { method: "dialog", onsubmit: async (e) => { e.preventDefault(); try { await call("DELETE", "/admin/connections/" + seg(r.id), { reason: reason.value }); d.close(); } catch (x) { setText(problem, x.message); } } },
      h("h2", { id: "dialog-title" }, "Close this connection?"), h("p", {}, r.client + " at " + r.listener + ", open for " + duration(r.age_seconds)), h("div", { class: "form" }, h("label", { for: "order-reason" }, "Reason", reason)), h("div", { class: "actions" }, h("button", { class: "main danger" }, "Close it"), h("button", { type: "button", onclick: () => d.close() }, "Cancel"))));
    const problem = h("p", { class: "problem" });
    d.firstChild.append(problem);
    d.showModal();
  } : null;
  const table = new Table({ label: "Connections", empty: "No connection is open.", columns: [
    textCell("Client", "client", "minmax(11rem, 1fr)"), textCell("Kind", "kind", "4rem"), textCell("Listener", "listener", "minmax(9rem, 1fr)"), textCell("Service", "service", "minmax(7rem, 1fr)"), textCell("Backend", "backend", "minmax(10rem, 1fr)"),
    numCell("Open for", "age_seconds", "7rem", duration), textCell("Since", "since", "7rem", { cell: (r) => clock(r.since), title: (r) => utc(r.since) }),
    ...(end ? [actionCell("Close…", end)] : []),
  ] });
  const show = searchable(root, table, (r) => [r.client, r.service, r.backend, r.listener].join(" "), [h("label", {}, "Client", client), h("label", {}, "Service", service)]);
  root.append(note);
  await often(root, signal, 2000, async () => {
    const q = new URLSearchParams({ limit: "2000" });
    if (client.value.trim()) q.set("client", client.value.trim());
    if (service.value) q.set("service", service.value);
    const a = await get("/admin/connections?" + q, signal);
    show(a.connections.map((c) => ({ ...c, id: String(c.id) })));
    setText(note, a.total > a.connections.length ? "The first " + a.connections.length + " of " + a.total + " are shown." : "");
  });
}

export async function events(root, state, signal) {
  const list = h("ul", { class: "list live", "aria-live": "polite", "aria-label": "Events" }), kind = h("select", {}), status = h("span", { class: "muted" });
  const search = h("input", { type: "search", "aria-label": "Search", placeholder: "search" });
  root.append(h("div", { class: "tools" }, h("label", {}, "Kind", kind), h("label", {}, "Search", search), status), h("div", { class: "card" }, list));
  let all = [];
  const draw = () => {
    const kinds = [...new Set(all.map((e) => e.kind))].sort(), key = kinds.join();
    if (kind.key !== key) { const was = kind.value; kind.key = key; fill(kind, h("option", { value: "" }, "all"), kinds.map((k) => h("option", { value: k }, k))); kind.value = kinds.includes(was) ? was : ""; }
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const some = all.filter((e) => (!kind.value || e.kind === kind.value) && words.every((w) => [e.message, e.service, e.backend, e.by, e.reason].join(" ").toLowerCase().includes(w)));
    fill(list, some.length ? some.slice(-200).reverse().map((e) => h("li", {}, h("time", { class: "muted mono", datetime: e.at, title: utc(e.at) }, clock(e.at)), " ", h("span", { class: "pill" }, e.kind), " ",
      [e.service, e.backend].filter(Boolean).map((x) => h("span", { class: "mono" }, x + " ")), e.message, e.by ? h("span", { class: "muted" }, " – by " + e.by + (e.reason ? ": " + e.reason : "")) : null)) : h("li", { class: "muted" }, "Nothing yet."));
    setText(status, some.length > 200 ? "the latest 200 of " + some.length : some.length + " events");
  };
  for (const [e, on] of [[kind, "change"], [search, "input"]]) e.addEventListener(on, draw);
  if (!can("GET", "/admin/events")) { // then the marks are all there is
    const take = () => { all = state.marks.map((m) => ({ at: m.at, kind: m.kind, service: m.service, backend: m.backend, message: m.plain })); if (take.n !== all.length) { take.n = all.length; draw(); } };
    state.addEventListener("frame", take, { signal });
    state.addEventListener("history", take, { signal });
    draw();
    take();
    return;
  }
  const first = await get("/admin/events?limit=1000", signal);
  all = first.events;
  draw();
  let last = first.last_event_id || "";
  (async () => {
    while (!signal.aborted) {
      try {
        await stream("/admin/events?stream=true" + (last ? "&last_event_id=" + seg(last) : ""), signal, (type, data, id) => {
          if (id) last = id;
          const e = JSON.parse(data);
          if (e.message === undefined) return;
          if (all.length && e.seq && all.some((x) => x.seq === e.seq)) return;
          all.push(e);
          if (all.length > 2000) all.shift();
          draw();
        });
      } catch (e) { if (signal.aborted) return; }
      await new Promise((r) => setTimeout(r, 2000));
    }
  })();
}

export async function changes(root, state, signal) {
  const box = h("div", { class: "card wide live" }), note = h("p", { class: "muted small" });
  root.append(box, note);
  let ends = []; // cells that count down
  const ask = async () => {
    const a = await get("/admin/changes?limit=10000", signal), key = JSON.stringify(a.changes.map((c) => [c.id, c.value, c.by, c.reason, c.at, c.expires]));
    if (key !== ask.key) { // a table that stays as it is keeps the focus, and a press of a button
      ask.key = key;
      ends = [];
      fill(box, plain([
        { name: "What", cell: (c) => [h("span", { class: "mono" }, [c.service, c.backend, c.route, c.listener].filter(Boolean).join(" ") || c.target), " ", h("strong", {}, c.what), c.value ? " " + c.value : ""] },
        { name: "By", cell: (c) => c.by }, { name: "Reason", cell: (c) => c.reason }, { name: "Since", tight: true, cell: (c) => clock(c.at), title: (c) => utc(c.at) },
        { name: "Undoes itself", tight: true, cell: (c) => { if (!c.expires) return "never"; const e = h("span", {}); ends.push([e, Date.parse(c.expires)]); return e; }, title: (c) => c.expires && utc(c.expires) },
        { name: "", cell: (c) => (can("DELETE", "/admin/changes") ? h("button", { type: "button", "aria-label": "Undo " + c.id, onclick: () => order({ title: "Undo " + c.id, method: "DELETE", path: "/admin/changes", fixed: { id: c.id }, ttl: null, done: ask }) }, "Undo…") : null) },
      ], a.changes, "No change of an operator is in force."));
    }
    for (const [e, at] of ends) setText(e, "in " + duration((at - Date.now()) / 1000));
    setText(note, "Version " + a.version + ", kept in " + a.kept + "." + (a.trouble ? " Trouble: " + a.trouble : ""));
  };
  await often(root, signal, 1000, ask);
}

export async function explain(root, state, signal, query) {
  const fields = [["client", "Client", "192.0.2.1"], ["listener", "Listener", ":80"], ["method", "Method", "GET"], ["host", "Host", "example.com"], ["path", "Path", "/"], ["header", "Header", "Name: value"], ["service", "Service (skips routing)", ""], ["request_id", "Request ID (of a real one)", ""]];
  const inputs = new Map(fields.map(([name, , hint]) => [name, h("input", { id: "explain-" + name, placeholder: hint, value: query.get(name) || "", autocomplete: "off" })]));
  const out = h("div", { role: "status" });
  const ask = async () => {
    const q = new URLSearchParams();
    for (const [name, e] of inputs) if (e.value.trim()) q.set(name, e.value.trim());
    fill(out, h("p", { class: "muted" }, "Asking…"));
    try {
      const a = await get("/admin/explain?" + q, signal);
      fill(out, h("div", { class: "card" }, h("p", {}, h("strong", {}, a.verdict)), h("dl", {}, [["Listener", a.listener], ["Route", a.route], ["Service", a.service], ["Strategy", a.strategy], ["Would be picked", a.picked]].filter((p) => p[1]).map(([k, v]) => [h("dt", {}, k), h("dd", { class: "mono" }, v)])),
        h("h3", {}, "Step by step"), h("ol", {}, (a.steps || []).map((s) => h("li", {}, s)))),
      h("h2", {}, "Backends"), wide("Backends", plain([{ name: "Backend", cell: (b) => b.address }, { name: "", cell: (b) => h("span", { class: "pill " + (b.eligible ? "good" : "bad") }, b.eligible ? "can be picked" : "cannot") }, { name: "Why", cell: (b) => b.reason }, { name: "Share", num: true, cell: (b) => count(100 * b.share) + " %" }, { name: "Weight", num: true, cell: (b) => b.weight }, { name: "Active", num: true, cell: (b) => b.active }, { name: "Latency", num: true, cell: (b) => (b.latency_ms ? count(b.latency_ms) + " ms" : "–") }, { name: "Errors", num: true, cell: (b) => count(100 * b.error_rate) + " %" }], a.backends || [])),
      h("h2", {}, "Limits that apply"), wide("Limits", plain([{ name: "Limit", cell: (l) => l.limit }, { name: "Of", cell: (l) => l.of }, { name: "Value", cell: (l) => l.value }, { name: "Now", cell: (l) => l.now }], a.limits || [])),
      (a.requests || []).length ? [h("h2", {}, "What became of it"), wide("Requests", plain([{ name: "When", tight: true, cell: (r) => clock(r.at), title: (r) => utc(r.at) }, { name: "Request", cell: (r) => h("code", {}, r.line) }], a.requests))] : null);
    } catch (e) { if (e.name !== "AbortError") fill(out, h("p", { class: "problem", role: "alert" }, e.message)); }
  };
  fill(root, h("p", { class: "muted" }, "What would become of a connection or request, and why. Nothing is sent."),
    h("form", { onsubmit: (e) => { e.preventDefault(); ask(); } }, h("div", { class: "form" }, fields.map(([name, label]) => h("label", { for: "explain-" + name }, label, inputs.get(name)))), h("div", { class: "actions" }, h("button", { class: "main" }, "Explain"))), h("p", {}), out);
}

export async function fleet(root, state, signal) {
  const head = h("p", {}), box = wide("Fleet");
  root.append(h("div", { class: "live" }, head, box));
  await often(root, signal, 3000, async () => {
    const a = await get("/admin/fleet?limit=10000", signal);
    const tasks = a.tasks || [], f = (t) => t.figures || {};
    const versions = new Set(tasks.map((t) => t.version)).size;
    fill(head, a.fleet ? h("strong", {}, a.fleet) : "No fleet: this sluice keeps its changes to itself (--fleet)", " ", h("span", { class: "pill " + (a.applied ? "good" : "warn") }, a.applied ? "all agree" : "not all have applied the latest changes"), " ", h("span", { class: "muted" }, a.ready + " of " + tasks.length + " ready" + (versions > 1 ? ", " + versions + " versions" : "")), a.trouble ? h("span", { class: "problem" }, " " + a.trouble) : null);
    fill(box, plain([
        { name: "Task", cell: (t) => [t.host, t.self ? [" ", h("span", { class: "pill" }, "this one")] : null], title: (t) => t.id }, { name: "Control plane", cell: (t) => h("span", { class: "mono" }, t.admin_address) }, { name: "Zone", cell: (t) => t.zone },
        { name: "Version", cell: (t) => h("span", { class: versions > 1 ? "pill warn" : null }, t.version) }, { name: "Runs since", cell: (t) => clock(t.started), title: (t) => utc(t.started) },
        { name: "State", cell: (t) => h("span", { class: "pill " + (t.silent ? "bad" : t.ready ? "good" : "warn") }, t.silent ? "silent" : t.ready ? "ready" : "not ready: " + (t.reasons || []).join(", ")) },
        { name: "Changes", cell: (t) => [h("span", { class: "pill " + (t.up_to_date ? "good" : "warn") }, t.up_to_date ? "up to date" : "at " + t.applied_version + " of " + a.version), t.local_changes ? " " + t.local_changes + " of its own" : "", t.trouble ? [" ", h("span", { class: "problem" }, t.trouble)] : null] },
        { name: "Backends", num: true, cell: (t) => count(f(t).backends_usable) + " of " + count(f(t).backends) }, { name: "Open", num: true, cell: (t) => count(f(t).open_connections) },
        { name: "Requests /s", num: true, cell: (t) => count(f(t).requests_per_second) }, { name: "Requests", num: true, cell: (t) => count(f(t).requests_total) }, { name: "Memory", num: true, cell: (t) => bytes(f(t).memory_bytes) }, { name: "CPU", num: true, cell: (t) => duration(f(t).cpu_seconds_total || 0) },
      ], tasks, "No other sluice is known."));
  });
}

export async function config(root, state, signal) {
  const [settings, metrics] = await Promise.all([get("/admin/config", signal), fetchMetrics(signal)]);
  const flags = [];
  for (const m of metrics.matchAll(/^sluice_flag\{name="([^"]*)",value="((?:[^"\\]|\\.)*)",is_set="(\w+)"\}/gm)) flags.push({ id: m[1], name: m[1], value: m[2].replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c)), set: m[3] === "true" });
  const only = h("input", { type: "checkbox", checked: true, id: "only" });
  const table = new Table({ label: "Settings", empty: "Everything is as by default.", columns: [textCell("Setting", "name", "minmax(10rem, 1fr)", { cell: (r) => "--" + r.name }), textCell("Value", "value", "minmax(12rem, 3fr)"), textCell("Set", "set", "9rem", { sort: (r) => (r.set ? 0 : 1), cell: (r) => (r.set ? "yes" : "by default"), title: () => null })] });
  const show = searchable(root, table, (r) => r.name + " " + r.value, [h("label", { for: "only", class: "check" }, only, "Only what differs from the defaults")]);
  const draw = () => show(flags.filter((f) => !only.checked || f.set));
  only.addEventListener("change", draw);
  draw();
  root.append(h("h2", {}, "All that is in force, secrets masked"), h("pre", { tabindex: 0 }, JSON.stringify(settings, null, 2)));
}

export async function cost(root, state, signal) {
  const sum = h("div", { class: "card" }), items = wide("Items of the cost");
  root.append(h("div", { class: "live" }, sum, h("h2", {}, "Item by item"), items));
  await often(root, signal, 5000, async () => {
    const a = await get("/admin/cost", signal);
    const money = (v) => (v > 0 && v < 1 ? String(Number(v.toPrecision(2))) : count(v)) + " " + (a.currency || "");
    fill(sum, h("p", {}, "Since the start: ", h("strong", {}, money(a.estimated_cost)), ", ", money(a.per_hour), " an hour, ", money(a.per_month), " a month, ", money(a.per_million_requests), " for a million requests."),
      h("p", { class: "muted" }, a.formula), h("p", { class: "muted" }, "Size of this task: " + count(a.task_vcpus) + " vCPU, " + count(a.task_memory_gb) + " GB, known from " + (a.task_size_from || "nothing") + ". Prices of " + ((a.prices || {}).date || "no date") + "."));
    fill(items, plain([{ name: "Item", cell: (i) => i.item }, { name: "Amount", num: true, cell: (i) => count(i.amount) + " " + i.unit }, { name: "Price", num: true, cell: (i) => String(i.price) }, { name: "Cost", num: true, cell: (i) => money(i.cost) }, { name: "Formula", cell: (i) => h("code", {}, i.formula) }], a.items || []));
  });
}

export async function profiles(root) {
  const kinds = [["profile", "CPU, for some seconds", true], ["heap", "Memory in use"], ["allocs", "All allocations so far"], ["goroutine", "Goroutines"], ["mutex", "Contended locks"], ["block", "Waiting"], ["trace", "Execution trace, for some seconds", true]];
  const length = h("input", { type: "number", min: 1, max: 60, value: 10, id: "seconds" }), status = h("p", { role: "status" });
  const take = async (kind, timed) => {
    setText(status, timed ? "Taking it, for " + length.value + " seconds…" : "Taking it…");
    try {
      const r = await raw("GET", "/debug/pprof/" + kind + (timed ? "?seconds=" + Number(length.value) : ""));
      if (!r.ok) throw new Error((await r.text()).trim());
      const blob = await r.blob(), url = URL.createObjectURL(blob), a = document.createElement("a");
      a.href = url; a.download = "sluice-" + kind + ".pprof";
      a.click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
      setText(status, "Taken: " + bytes(blob.size) + ". Open it with: go tool pprof -http : sluice-" + kind + ".pprof");
    } catch (e) { setText(status, "It cannot be taken: " + e.message); }
  };
  fill(root, h("p", { class: "muted" }, "Profiles of this process, for Go's own tools. One of CPU costs a few percent while it is taken."), h("div", { class: "tools" }, h("label", { for: "seconds" }, "Seconds", length)),
    h("div", { class: "card" }, plain([{ name: "Profile", cell: (k) => k[0] }, { name: "What it shows", cell: (k) => k[1] }, { name: "", cell: (k) => h("button", { type: "button", onclick: () => take(k[0], k[2]) }, "Take " + k[0]) }], kinds)), status, h("p", {}, h("a", { href: "/debug/pprof/" }, "All profiles of this process")));
}
