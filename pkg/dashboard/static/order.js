// Orders: a form for each, which first shows what it would change. The rules are
// the API's: what it refuses is shown in its words.
import { h, fill } from "./dom.js";
import { call } from "./api.js";

const lives = [["", "until it is undone"], ["10m", "10 minutes"], ["30m", "30 minutes"], ["1h", "1 hour"], ["4h", "4 hours"], ["24h", "a day"]];

// order opens a form for one call. fields: {name, label, value, options, required,
// note}. ttl says which time to live is offered first; null offers none.
export function order({ title, about, method, path, fields = [], fixed = {}, ttl = "1h", danger = false, reason: why = "", done = () => {} }) {
  const d = document.getElementById("dialog");
  const inputs = new Map();
  const rows = fields.map((f) => {
    const id = "order-" + f.name;
    const e = f.options ? h("select", { id }, f.options.map((o) => h("option", { value: o, selected: o === f.value }, o)))
      : h("input", { id, value: f.value ?? "", required: !!f.required, autocomplete: "off" });
    inputs.set(f.name, e);
    return h("label", { for: id }, f.label, e, f.note ? h("span", {}, f.note) : null);
  });
  const reason = h("input", { id: "order-reason", value: why, required: true, autocomplete: "off", placeholder: "for those who read it tomorrow" });
  const live = h("select", { id: "order-ttl" }, (ttl && !lives.some(([v]) => v === ttl) ? [...lives, [ttl, ttl]] : lives).map(([v, t]) => h("option", { value: v, selected: v === ttl }, t)));
  const force = h("input", { type: "checkbox", id: "order-force" }), forceRow = h("label", { for: "order-force", hidden: true }, "Do it all the same", force);
  const outcome = h("div", { role: "status", "aria-live": "polite" });
  const dry = h("button", { type: "submit", value: "dry" }, "Show what it changes"), apply = h("button", { type: "submit", value: "apply", class: danger ? "main danger" : "main", disabled: true }, "Apply");
  let shown = "";
  const body = () => {
    const b = { ...fixed, reason: reason.value };
    for (const [name, e] of inputs) if (e.value !== "") b[name] = e.value;
    if (ttl !== null && live.value) b.ttl = live.value;
    if (!forceRow.hidden && force.checked) b.force = true;
    return b;
  };
  const form = h("form", { method: "dialog", oninput: () => { apply.disabled = JSON.stringify(body()) !== shown; }, onsubmit: async (e) => {
    e.preventDefault();
    const real = e.submitter === apply && !apply.disabled, b = body();
    fill(outcome, h("p", { class: "muted" }, real ? "Applying…" : "Asking…"));
    try {
      const out = await call(method, path, real ? b : { ...b, dry_run: true });
      if (real) { d.close(); done(out); return; }
      shown = JSON.stringify(b);
      apply.disabled = false;
      fill(outcome, told(out));
      apply.focus();
    } catch (x) {
      fill(outcome, h("p", { class: "problem", role: "alert" }, x.message));
      if (x.status === 409 && x.message.includes("force=true")) forceRow.hidden = false;
      apply.disabled = true;
    }
  } }, h("h2", { id: "dialog-title" }, title), about ? h("p", { class: "muted" }, about) : null, h("div", { class: "form" }, rows, h("label", { for: "order-reason" }, "Reason", reason), ttl === null ? null : h("label", { for: "order-ttl" }, "For", live), forceRow), outcome,
  h("div", { class: "actions" }, dry, apply, h("button", { type: "button", onclick: () => d.close() }, "Cancel")));
  fill(d, form);
  d.showModal();
  (inputs.values().next().value || reason).focus();
}

// told shows what an order would do.
function told(out) {
  const parts = [];
  if (!out.changed && !(out.effects || []).length) parts.push(h("p", {}, "It changes nothing: so it is already."));
  const list = (out.differences || []).map((x) => h("li", {}, h("span", { class: "mono" }, x.what), ": ", x.before || "–", " → ", h("strong", {}, x.after || "–")));
  const effects = (out.effects || []).map((x) => h("li", {}, h("span", { class: "mono" }, x.id), ": ", said(x.before), " → ", h("strong", {}, said(x.after))));
  if (list.length) parts.push(h("h3", {}, "What runs would change"), h("ul", {}, list));
  else if (effects.length) parts.push(h("h3", {}, "It would set"), h("ul", {}, effects));
  for (const w of out.warnings || []) parts.push(h("p", { class: "problem" }, w));
  if (out.kept) parts.push(h("p", { class: "muted small" }, "Kept in: " + out.kept));
  return parts;
}

function said(c) { return c ? (c.value || c.what) : "nothing"; }
