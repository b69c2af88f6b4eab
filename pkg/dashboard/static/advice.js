// Advice: what the rules find, and the call that acts on it.
import { h, fill } from "./dom.js";
import { can, get } from "./api.js";
import { order } from "./order.js";

// template returns the path of the API that a path of a call is of.
function template(path) {
  return path.replace(/^\/admin\/services\/[^/]+\/backends\/[^/]+\/[^/]+$/, "/admin/services/{service}/backends/{backend}/{what}").replace(/^\/admin\/services\/[^/]+\/[^/]+$/, "/admin/services/{service}/{what}");
}

function button(f) {
  const c = f.call;
  if (!c || !can(c.method, template(c.path))) return null;
  const { ttl = null, reason, ...rest } = c.params || {};
  const open = () => {
    if (c.method === "DELETE") order({ title: "Undo: " + f.evidence, method: c.method, path: c.path, fixed: rest, ttl: null });
    else order({ title: f.action, method: c.method, path: c.path, fields: Object.entries(rest).map(([name, value]) => ({ name, label: name, value, required: true })), ttl });
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
