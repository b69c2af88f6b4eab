// The page: its frame, which page is shown, and the news for all of them.
import { h, fill, setAttr, setText } from "./dom.js";
import { clock, duration, utc } from "./format.js";
import { can, learn, onTokenNeeded, tryToken } from "./api.js";
import { State } from "./state.js";
import { overview } from "./overview.js";
import { services } from "./services.js";
import { advice } from "./advice.js";
import { copilot } from "./copilot.js";
import { changes, config, connections, cost, events, explain, fleet, listeners, profiles, routes } from "./lists.js";

const state = new State();
const pages = [
  { key: "overview", name: "Overview", open: overview },
  { key: "services", name: "Services", open: services },
  { key: "advice", name: "Advice", open: advice, needs: "/admin/advice" },
  { key: "copilot", name: "Copilot", open: copilot, needs: "/admin/copilot" },
  { key: "routes", name: "Routes", open: routes, needs: "/admin/routes" },
  { key: "listeners", name: "Listeners", open: listeners, needs: "/admin/listeners" },
  { key: "connections", name: "Connections", open: connections, needs: "/admin/connections" },
  { key: "events", name: "Events", open: events },
  { key: "changes", name: "Changes", open: changes, needs: "/admin/changes" },
  { key: "explain", name: "Explain", open: explain, needs: "/admin/explain" },
  { key: "fleet", name: "Fleet", open: fleet, needs: "/admin/fleet" },
  { key: "config", name: "Config", open: config, needs: "/admin/config" },
  { key: "cost", name: "Cost", open: cost, needs: "/admin/cost" },
  { key: "profiles", name: "Profiles", open: profiles },
];
const $ = (id) => document.getElementById(id);
let leave = null; // stops the page that is shown

function there() { return pages.filter((p) => !p.needs || can("GET", p.needs)); }

function navigate() {
  const [key, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const all = there(), page = all.find((p) => p.key === key) || all[0];
  for (const a of $("nav").children) setAttr(a, "aria-current", a.dataset.key === page.key ? "page" : null);
  document.title = page.name + " – sluice";
  if (leave) leave.abort();
  leave = new AbortController();
  const root = h("div", {});
  fill($("main"), h("h1", {}, page.name), root);
  root.dataset.page = page.key;
  Promise.resolve(page.open(root, state, leave.signal, new URLSearchParams(query))).catch((e) => { if (e.name !== "AbortError") root.append(h("p", { class: "problem", role: "alert" }, "This page cannot be shown: " + e.message)); });
  const current = $("nav").querySelector("[aria-current]");
  if (current && current.scrollIntoView && innerWidth < 840) current.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function frame() {
  const a = state.about;
  if (!a) return;
  setText($("version"), a.version);
  $("version").title = "started " + utc(a.started);
  setText($("ready"), a.ready ? "Ready" : "Not ready: " + a.reasons.join(", "));
  $("ready").className = "pill " + (a.ready ? (a.details.length ? "warn" : "good") : "bad");
  if (a.ready && a.details.length) setText($("ready"), "Ready, with trouble");
  $("ready").title = a.details.join("\n");
  age();
}

// age says how old what is shown is, and makes it plain when that is too old.
function age() {
  const banner = $("banner"), old = state.isOld || (state.never && state.trouble);
  document.body.classList.toggle("stale", !!old);
  if (old) {
    setText($("age"), "");
    setText($("ready"), "State not known");
    $("ready").className = "pill";
    const since = state.never ? "" : " since " + clock(state.at) + " (" + duration((performance.now() - state.heard) / 1000) + " ago)";
    setText(banner, "No news from sluice" + since + (state.never ? "" : ": what you see is old") + ". Trying again. " + (state.trouble && state.trouble !== "Failed to fetch" ? "(" + state.trouble + ")" : "It does not answer."));
    banner.className = "";
    banner.hidden = false;
    return;
  }
  if (state.never) return;
  setText($("age"), clock(state.at) + (state.how === "poll" ? " (asking)" : " (live)"));
  $("age").title = utc(state.at);
  const troubles = new Map();
  for (const [name, s] of state.services) for (const x of s.sources) if (x.trouble) {
    const key = x.source + ": " + x.trouble;
    if (!troubles.has(key)) troubles.set(key, { since: x.since, names: [] });
    troubles.get(key).names.push(name);
  }
  const words = [...troubles].map(([k, t]) => k + (t.since ? ", since " + clock(t.since) : "") + " (" + t.names.slice(0, 3).join(", ") + (t.names.length > 3 ? " and " + (t.names.length - 3) + " more" : "") + ")");
  banner.hidden = words.length === 0;
  banner.className = "warn";
  if (words.length) setText(banner, words.slice(0, 2).join(" · ") + (words.length > 2 ? " · and " + (words.length - 2) + " more" : ""));
}

// askToken shows the form of the token and returns one that is right. One that may
// do more than look may be refused: null.
function askToken(more) {
  return new Promise((resolve) => {
    const d = $("ask"), input = h("input", { type: "password", autocomplete: "off", required: true, id: "token", "aria-describedby": "token-note" }), problem = h("p", { class: "problem", role: "alert" });
    const end = (token) => { d.oncancel = null; d.close(); resolve(token); };
    const form = h("form", { method: "dialog", onsubmit: async (e) => {
      e.preventDefault();
      setText(problem, "");
      try {
        if (await tryToken(input.value, more)) { end(input.value); return; }
        setText(problem, more ? "That token may not change anything." : "That is not the token.");
      } catch { setText(problem, "sluice does not answer."); }
      input.select();
    } }, h("h2", { id: "ask-title" }, more ? "This needs a token that may change things" : "This control plane needs a token"),
    h("p", { id: "token-note", class: "muted" }, "It is kept for this tab only, until it is closed, and sent to nobody else."),
    h("label", { for: "token" }, "Token"), " ", input, problem, h("div", { class: "actions" }, h("button", { class: "main" }, "Use it"), more ? h("button", { type: "button", onclick: () => end(null) }, "Cancel") : null));
    fill(d, form);
    d.oncancel = (e) => { e.preventDefault(); if (more) end(null); };
    if (!d.open) d.showModal();
    input.focus();
  });
}

function theme() {
  const names = ["auto", "light", "dark"], b = $("theme");
  let now = sessionStorage.getItem("sluice-theme") || "auto";
  const apply = () => { setAttr(document.documentElement, "data-theme", now === "auto" ? null : now); fill(b, h("span", { class: "long" }, "Theme: "), now); setAttr(b, "aria-label", "Theme: " + now); };
  b.addEventListener("click", () => { now = names[(names.indexOf(now) + 1) % 3]; sessionStorage.setItem("sluice-theme", now); apply(); });
  apply();
}

async function start() {
  theme();
  onTokenNeeded(askToken);
  setInterval(age, 1000);
  state.addEventListener("frame", frame);
  state.addEventListener("trouble", age);
  for (let wait = 500; ; wait = Math.min(5000, 2 * wait)) {
    try { await learn(); await state.begin(); break; } catch (e) { state.trouble = e.message; age(); await new Promise((r) => setTimeout(r, wait)); }
  }
  fill($("nav"), there().map((p) => h("a", { href: "#/" + p.key, "data-key": p.key }, p.name)));
  addEventListener("hashchange", () => { navigate(); $("main").focus({ preventScroll: true }); });
  navigate();
  state.follow();
}
start();
