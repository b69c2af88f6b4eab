// Services and their backends: who is in, who is out and why, and what to do.
import { h, fill, setAttr, setText } from "./dom.js";
import { bytes, clock, count, duration, percent, utc } from "./format.js";
import { Table, plain } from "./table.js";
import { allowed, can, get, seg } from "./api.js";
import { order } from "./order.js";

const backendPath = "/admin/services/{service}/backends/{backend}/{what}", servicePath = "/admin/services/{service}/{what}";

// stateOf says how a backend stands, in a word.
export function stateOf(b) {
  if (b.order.includes("drain")) return { word: "draining", kind: "warn" };
  if (b.eject_until || b.order.includes("ejected")) return { word: "ejected", kind: "bad" };
  if (b.state === "down") return { word: b.eligible ? "down, used" : "down", kind: "bad" };
  if (b.status === "maintenance" || b.status === "critical" || b.status === "absent") return { word: b.status, kind: b.status === "critical" ? "bad" : "warn" };
  if (!b.eligible) return { word: b.reason.startsWith("it is in reserve") ? "reserve" : "out", kind: "warn" };
  if (b.reason) return { word: "panic", kind: "bad" };
  if (b.counts && b.counts[7] < 1) return { word: "warming", kind: "warn" };
  if (b.status === "warning") return { word: "warning", kind: "warn" };
  return { word: b.state === "unchecked" ? "unchecked" : b.state === "unknown" ? "not checked yet" : "up", kind: b.state === "up" || b.state === "unchecked" ? "good" : "" };
}

// why says in words why a backend stands as it does.
export function why(b) {
  const parts = [];
  if (b.reason) parts.push(b.reason);
  else if (b.signal) parts.push(b.signal + (b.streak > 1 ? ", " + b.streak + " in a row" : ""));
  if (b.detail && !parts.join(" ").includes(b.detail)) parts.push(b.detail);
  return parts.join("; ");
}

// brief is why for a narrow column: what went wrong first.
function brief(b) {
  if (!b.detail) return why(b);
  return b.detail.replace(/^(\w+ "[^"]*": )?dial (tcp|unix) \S+: (connect: )?/, "") + " (" + b.signal + (b.streak > 1 ? ", " + b.streak + " in a row" : "") + ")";
}

function nominal(b, s) { return b.eligible && s.weight > 0 ? b.effective * (b.counts ? b.counts[7] : 1) / s.weight : 0; }

export async function services(root, state, signal, query) {
  const search = h("input", { type: "search", "aria-label": "Search", placeholder: "address, zone, reason…" });
  const which = h("select", {}), stand = h("select", {}, ["all", "in", "out", "up", "down", "draining", "ejected", "warming"].map((v) => h("option", { value: v }, v)));
  const found = h("span", { class: "muted", role: "status" }), about = h("div", {}), detail = h("div", {});
  let chosen = null;
  const table = new Table({
    label: "Backends", empty: "No backend fits.", pick: (row) => { chosen = row; show(); detail.scrollIntoView({ block: "nearest" }); },
    columns: [
      { name: "Service", width: "minmax(4rem, 0.7fr)", sort: (b) => b.service, cell: (b) => b.service, title: (b) => b.service },
      { name: "Backend", width: "minmax(9.5rem, 1fr)", sort: (b) => b.address, cell: (b) => b.address, title: (b) => b.address + " (" + b.name + ")" },
      { name: "State", width: "7rem", sort: (b) => stateOf(b).kind + stateOf(b).word, update: (c, b) => { const s = stateOf(b); if (!c.firstChild) c.append(h("span", {})); setText(c.firstChild, s.word); setAttr(c.firstChild, "class", "pill " + s.kind); } },
      { name: "Why", width: "minmax(8rem, 3fr)", sort: brief, cell: brief, title: why },
      { name: "Since", width: "5rem", sort: (b) => b.since, cell: (b) => clock(b.since).slice(-8), title: (b) => clock(b.since) + "\n" + utc(b.since) },
      { name: "Weight", width: "4.2rem", num: true, sort: (b) => b.effective, cell: (b) => (b.effective === b.weight ? String(b.weight) : b.effective + " (" + b.weight + ")"), title: (b) => (b.effective === b.weight ? null : "counts as " + b.effective + ", registered with " + b.weight) },
      { name: "Active", width: "3.6rem", num: true, downFirst: true, sort: (b) => b.counts && b.counts[0], cell: (b) => count(b.counts && b.counts[0]) },
      { name: "Given /s", width: "4.4rem", num: true, downFirst: true, sort: (b) => b.rate, cell: (b) => count(b.rate) },
      { name: "Share", width: "5.6rem", downFirst: true, sort: (b) => b.share, update: (c, b) => {
        if (!c.firstChild) c.append(h("div", { class: "bar", role: "img" }, h("i", {}), h("b", {})));
        const s = state.services.get(b.service), n = s ? nominal(b, s) : 0, bar = c.firstChild, most = Math.max(0.02, n * 2, b.share || 0);
        bar.firstChild.style.width = 100 * (b.share || 0) / most + "%";
        bar.lastChild.style.left = 100 * n / most + "%";
        setAttr(bar, "aria-label", percent(b.share) + " of the traffic, " + percent(n) + " by weight");
        setAttr(c, "title", percent(b.share) + " of the traffic; the line is at its share by weight, " + percent(n));
      } },
      { name: "Errors", width: "3.8rem", num: true, downFirst: true, sort: (b) => b.counts && b.counts[6], cell: (b) => (b.counts ? percent(b.counts[6]) : "–") },
      { name: "Latency", width: "5.2rem", num: true, downFirst: true, sort: (b) => b.counts && b.counts[5], cell: (b) => (b.counts && b.counts[5] ? count(Math.round(b.counts[5] * 100) / 100) + " ms" : "–") },
    ],
  });
  fill(root, h("div", { class: "tools" },
    h("label", {}, "Service", which), h("label", {}, "State", stand), h("label", {}, "Search", search), found), about, table.element, detail);
  let wanted = query.get("service") || "";

  const choices = () => {
    const names = [...state.services.keys()].sort(), key = names.join("\n");
    if (choices.key !== key) {
      choices.key = key;
      fill(which, h("option", { value: "" }, "all (" + names.length + ")"), names.map((n) => h("option", { value: n, props: { value: n } }, n)));
    }
    if (wanted && state.services.has(wanted)) { which.value = wanted; }
  };
  const draw = () => {
    choices();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean), rows = [];
    let all = 0;
    for (const [name, mine] of state.backends) {
      if (wanted && name !== wanted) continue;
      for (const b of mine.values()) {
        all++;
        const s = stateOf(b);
        if (stand.value === "in" ? !b.eligible : stand.value === "out" ? b.eligible : stand.value !== "all" && !s.word.startsWith(stand.value)) continue;
        if (words.length) {
          const text = (name + " " + b.address + " " + b.id + " " + b.zone + " " + s.word + " " + why(b)).toLowerCase();
          if (!words.every((w) => text.includes(w))) continue;
        }
        rows.push(b);
      }
    }
    if (!table.by) rows.sort((a, b) => rank(a) - rank(b) || a.service.localeCompare(b.service) || a.address.localeCompare(b.address, undefined, { numeric: true }));
    setText(found, rows.length === all ? all + " backends" : rows.length + " of " + all + " backends");
    table.show(rows.map((b) => row(b)));
    summary();
    if (chosen) refresh();
  };
  // A row is the backend itself, under an ID of its own among all services.
  const row = (b) => {
    if (!b.row) b.row = Object.assign(Object.create(b), { id: b.service + "\u0000" + b.name, of: b });
    return b.row;
  };
  const rank = (b) => ({ bad: 0, warn: 1, "": 2, good: 3 }[stateOf(b).kind]);

  const summary = () => {
    const s = wanted && state.services.get(wanted);
    const key = s ? wanted + JSON.stringify(s) : "";
    if (key === summary.key) return;
    summary.key = key;
    if (!s) { fill(about); return; }
    const actions = [];
    const act = (what, text, fields, more = {}) => { if (can("PUT", servicePath)) actions.push(h("button", { type: "button", onclick: () => order({ title: text + ": " + wanted, method: "PUT", path: "/admin/services/" + seg(wanted) + "/" + what, fields, ...more }) }, text)); };
    act("strategy", "Strategy…", [{ name: "value", label: "Strategy", value: s.strategy, options: allowed("GET", "/admin/strategy", "strategy") || ["p2c", "p2c_ewma", "adaptive", "round_robin", "least_conn", "random", "maglev", "ip_hash"] }]);
    act("canary", "Canary…", [{ name: "target", label: "Leads to", required: true, note: "a service, a backend or tag=NAME" }, { name: "percent", label: "Percent of clients", value: "5", required: true }]);
    act("maintenance", "Maintenance…", [{ name: "value", label: "Text for clients", value: "We are back soon.", required: true }], { danger: true, about: "All requests of the service are answered with 503 and this text." });
    if (can("POST", "/admin/services/{service}/backends")) actions.push(h("button", { type: "button", onclick: () => order({ title: "Add a backend: " + wanted, method: "POST", path: "/admin/services/" + seg(wanted) + "/backends", about: "It stands beside those that are discovered.", ttl: "", fields: [{ name: "backend", label: "Address", required: true, note: "HOST:PORT" }, { name: "weight", label: "Weight", value: "1" }, { name: "zone", label: "Zone" }] }) }, "Add a backend…"));
    fill(about, h("div", { class: "card" },
      h("strong", {}, wanted), " ", h("a", { href: "#/overview?service=" + seg(wanted) }, "its charts"), " ", h("span", { class: "pill " + (s.eligible === 0 || s.panic ? "bad" : s.eligible < s.total ? "warn" : "good") }, s.panic ? "panic: too few are available, all are used" : s.eligible + " of " + s.total + " can serve"), " ",
      h("span", { class: "muted" }, s.strategy + (s.tiers > 1 ? ", tier " + s.tier + " of " + s.tiers : "") + (s.waiting ? ", " + s.waiting + " wait for room" : "")),
      h("ul", { class: "list small" }, s.sources.map((x) => h("li", { class: x.trouble ? "problem" : "muted" }, x.source, x.trouble ? ": " + x.trouble + (x.since ? ", since " + clock(x.since) : "") : ": well", x.kept ? ", " + x.kept + " members kept" : ""))),
      actions.length ? h("div", { class: "actions" }, actions) : null));
  };

  // show shows one backend below the table.
  let facts, past, said = [];
  // orders asks what operators have said of a backend that is in force.
  const orders = async (b) => {
    orders.seen = b.order + b.effective;
    if (!can("GET", "/admin/changes")) return;
    const a = await get("/admin/changes?limit=10000&target=backend&service=" + seg(b.service), signal);
    if (chosen.of !== b) return;
    said = a.changes.filter((c) => c.backend === b.address || c.backend === b.name);
    refresh(true);
  };
  const show = () => {
    const b = chosen.of;
    facts = h("dl", {}); past = h("div", {}, h("p", { class: "muted" }, "Asking…"));
    fill(detail, h("h2", { tabindex: -1 }, b.service + " " + b.address), h("div", { class: "two" },
      h("section", { class: "card live" }, facts, buttons(b)), h("section", { class: "card" }, h("h3", {}, "Its last changes"), past)));
    said = [];
    refresh(true);
    history(b);
    orders(b).catch(() => {});
  };
  const refresh = (anyway) => {
    const b = chosen.of, c = b.counts || [];
    if (!state.backends.get(b.service) || state.backends.get(b.service).get(b.name) !== b) { fill(facts, h("dt", {}, "Gone"), h("dd", {}, "It is no member any more.")); return; }
    const s = stateOf(b), pairs = [
      ["State", s.word + (why(b) ? " – " + why(b) : "")], ["Since", clock(b.since) + " (" + duration((state.at - Date.parse(b.since)) / 1000) + ")", utc(b.since)],
      ["Signal", [b.signal, b.streak ? b.streak + " in a row" : ""].filter(Boolean).join(", ")], ["Last error", b.detail], ["Its source says", b.status], ["It says itself", b.word],
      ["Operator", b.order + (b.order_reason ? " (" + b.order_reason + ")" : "")],
      ...said.filter((c) => !c.expires || Date.parse(c.expires) > state.at).map((c) => ["Change", [c.what, c.value].filter(Boolean).join(" ") + " by " + (c.by || "somebody") + (c.expires ? ", undoes itself in " + duration((Date.parse(c.expires) - state.at) / 1000) : ", until it is undone"), c.expires && utc(c.expires)]),
      ["Connections close", b.close_by && "in " + duration((Date.parse(b.close_by) - state.at) / 1000), b.close_by && utc(b.close_by)],
      ["Comes back", b.eject_until && "in " + duration((Date.parse(b.eject_until) - state.at) / 1000), b.eject_until && utc(b.eject_until)],
      ["Weight", b.weight + (b.effective === b.weight ? "" : ", counts as " + b.effective)], ["Zone", b.zone], ["Priority", b.priority || ""], ["ID", b.name],
      ["Given", count(c[1]) + " in all, " + count(b.rate) + " a second, " + percent(b.share) + " of the service's"], ["Active", count(c[0])], ["Connects that failed", count(c[2])],
      ["Bytes", bytes(c[3]) + " to it, " + bytes(c[4]) + " from it"], ["Latency", c[5] ? count(c[5]) + " ms" : "not known"], ["Errors", percent(c[6]) + " of the latest"], ["Checks", count(c[8]) + " passed, " + count(c[9]) + " failed"],
    ];
    fill(facts, pairs.filter((p) => p[1]).map((p) => [h("dt", {}, p[0]), h("dd", { title: p[2] || null }, p[1])]));
    if (!anyway && b.changes !== history.seen) history(b);
    if (!anyway && b.order + b.effective !== orders.seen) orders(b).catch(() => {});
  };
  const history = async (b) => {
    history.seen = b.changes;
    try {
      const a = await get("/admin/backends?service=" + seg(b.service), signal);
      const all = (((a.services[0] || {}).backends || []).find((x) => x.id === b.name) || {}).history || [];
      fill(past, plain([
        { name: "When", tight: true, cell: (x) => clock(x.at), title: (x) => utc(x.at) }, { name: "Became", tight: true, cell: (x) => x.to },
        { name: "By", cell: (x) => x.signal + (x.streak > 1 ? ", " + x.streak + " in a row" : "") }, { name: "Why", cell: (x) => x.detail },
      ], all.slice().reverse(), "None yet."));
    } catch (e) { if (e.name !== "AbortError") fill(past, h("p", { class: "problem" }, e.message)); }
  };
  const buttons = (b) => {
    if (!can("PUT", backendPath)) return null;
    const path = (what) => "/admin/services/" + seg(b.service) + "/backends/" + seg(b.address) + "/" + what, all = [];
    const act = (what, text, options = {}) => all.push(h("button", { type: "button", class: options.danger ? "danger" : null, onclick: () => order({ title: text.replace("…", "") + ": " + b.address, method: "PUT", path: path(what), ...options }) }, text));
    act("drain", "Drain…", { about: "It gets no new connections; open ones live on.", fields: [{ name: "deadline", label: "Close open ones after", note: "such as 5m; empty: never" }] });
    act("undrain", "Undrain…", { ttl: null });
    act("weight", "Weight…", { fields: [{ name: "value", label: "Weight", value: String(b.effective), required: true, note: "0 to 65535, or a percentage such as 50%" }] });
    act("eject", "Eject…", { danger: true, about: "It is out as if live traffic had failed on it." });
    act("readmit", "Readmit…", { ttl: null, about: "It counts as well again at once." });
    act("force", "Force…", { danger: true, fields: [{ name: "value", label: "State", options: ["up", "down"] }], about: "In place of what checks and traffic say." });
    act("reset", "Reset…", { ttl: null, about: "What was learnt of it begins anew.", fields: [{ name: "value", label: "What", options: ["ewma", "warmup", "breaker", "all"] }] });
    const removed = "/admin/services/{service}/backends/{backend}";
    if (can("DELETE", removed)) all.push(h("button", { type: "button", class: "danger", onclick: () => order({ title: "Remove: " + b.address, method: "DELETE", path: "/admin/services/" + seg(b.service) + "/backends/" + seg(b.address), about: "It is no member any more, whatever its source says; open connections live on as long as those of one that was deregistered.", ttl: "", danger: true }) }, "Remove…"));
    return h("div", { class: "actions" }, all);
  };

  which.addEventListener("change", () => { wanted = which.value; table.element.scrollTop = 0; draw(); });
  for (const [e, on] of [[search, "input"], [stand, "change"]]) e.addEventListener(on, () => { table.element.scrollTop = 0; draw(); });
  state.addEventListener("frame", draw, { signal });
  draw();
}
