// Advice: what the rules find, and the call that acts on it.
import { h, fill } from "./dom.js";
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

export async function advice(root, state, signal) {
  const found = h("div", {}), note = h("p", { class: "muted small" });
  fill(root, found, note);
  const ask = async () => {
    const a = await get("/admin/advice", signal);
    const key = JSON.stringify(a.advice);
    if (key === ask.key) return;
    ask.key = key;
    fill(found, a.advice.length ? a.advice.map((f) => h("article", { class: "card finding " + f.severity },
      h("p", {}, h("span", { class: "pill " + ({ critical: "bad", warning: "warn" }[f.severity] || "") }, f.severity), " ", h("strong", {}, [f.service, f.backend].filter(Boolean).join(" ")), " ", h("span", { class: "muted" }, f.rule.replaceAll("_", " "))),
      h("dl", {}, h("dt", {}, "Seen"), h("dd", {}, f.evidence), h("dt", {}, "If nothing is done"), h("dd", {}, f.consequence), h("dt", {}, "What to do"), h("dd", {}, f.action)),
      h("div", { class: "actions" }, button(f))))
      : h("p", { class: "card ok" }, "No rule fires: nothing to do."));
    fill(note, a.rules ? "Rules that were tried: " + a.rules.map((r) => r.replaceAll("_", " ")).join(", ") + "." : "");
  };
  await ask();
  const t = setInterval(() => ask().catch(() => {}), 5000);
  signal.addEventListener("abort", () => clearInterval(t));
}
