// Advice: what the rules find, and the call that acts on it.
import { h, fill, setText } from "./dom.js";
import { exists, get } from "./api.js";
import { order } from "./order.js";

// button opens the form of the call that a finding has, if there is that call.
export function button(f) {
  const c = f.call;
  if (!c || !exists(c.method, c.path)) return null;
  const { ttl = "", reason = "", dry_run, ...rest } = c.params || {};
  const open = () => {
    if (c.method === "DELETE") order({ title: "Undo: " + f.evidence, method: c.method, path: c.path, fixed: rest, ttl: null, reason });
    else order({ title: f.action, method: c.method, path: c.path, fields: Object.entries(rest).map(([name, value]) => ({ name, label: name, value, required: true })), ttl, reason });
  };
  return h("button", { type: "button", onclick: open }, "Do it…");
}

// card is a finding on the page, whose words are brought up to date in place: who
// has the focus on its button keeps it.
function card(f) {
  const seen = h("dd", {}), then = h("dd", {}), act = h("dd", {}), one = { show };
  one.element = h("article", { class: "card finding " + f.severity },
    h("p", {}, h("span", { class: "pill " + ({ critical: "bad", warning: "warn" }[f.severity] || "") }, f.severity), " ", h("strong", {}, [f.service, f.backend].filter(Boolean).join(" ")), " ", h("span", { class: "muted" }, f.rule.replaceAll("_", " "))),
    h("dl", {}, h("dt", {}, "Seen"), seen, h("dt", {}, "If nothing is done"), then, h("dt", {}, "What to do"), act), h("div", { class: "actions" }, button(f)));
  function show(f) { setText(seen, f.evidence); setText(then, f.consequence); setText(act, f.action); }
  return one;
}

export async function advice(root, state, signal) {
  const found = h("div", {}), none = h("p", { class: "card ok" }, "No rule fires: nothing to do."), note = h("p", { class: "muted small" });
  fill(root, found, note);
  let drawn = new Map();
  const ask = async () => {
    const a = await get("/admin/advice", signal), now = new Map();
    for (const f of a.advice) {
      const key = [f.rule, f.severity, f.service, f.backend, JSON.stringify(f.call)].join("\u0000");
      for (let k = key; ; k += "+") if (!now.has(k)) { now.set(k, drawn.get(k) || card(f)); now.get(k).show(f); break; }
    }
    if (!ask.done || [...now.keys()].join() !== [...drawn.keys()].join()) fill(found, now.size ? [...now.values()].map((x) => x.element) : none);
    ask.done = true;
    drawn = now;
    setText(note, a.rules ? "Rules that were tried: " + a.rules.map((r) => r.replaceAll("_", " ")).join(", ") + "." : "");
  };
  await ask();
  const t = setInterval(() => ask().catch(() => {}), 5000);
  signal.addEventListener("abort", () => clearInterval(t));
}
