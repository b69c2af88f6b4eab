// Copilot: a question, answered by a language model. What is sent is shown before,
// and what it proposes is done by nobody but who presses the button.
import { h, fill, setText } from "./dom.js";
import { ask, call, get } from "./api.js";
import { bytes, duration } from "./format.js";
import { button } from "./advice.js";

export async function copilot(root, state, signal) {
  const about = h("div", {}), out = h("div", {}), answer = h("div", { role: "status", "aria-live": "polite" });
  const question = h("textarea", { id: "question", rows: 3, maxlength: 4000, required: true, placeholder: "Why is web slow?" });
  const show = h("button", { type: "submit" }, "Show what is sent"), send = h("button", { type: "button", class: "main", disabled: true }, "Send"), stop = h("button", { type: "button", hidden: true }, "Stop");
  let prompt = null, asking = null;
  const facts = async () => {
    const a = await get("/admin/copilot", signal);
    const word = !a.enabled ? "off" : a.ready ? "ready" : "not ready";
    fill(about, h("div", { class: "card" }, h("p", {}, h("span", { class: "pill " + (!a.enabled ? "" : a.ready ? "good" : "bad") }, word), " ",
      a.enabled ? h("span", {}, "Provider: ", h("strong", {}, a.provider), ", model ", h("strong", {}, a.model), ", at ", h("span", { class: "mono" }, a.url), ". ", a.left_today + " of " + a.daily_cap + " questions are left today (UTC).")
        : "No language model answers questions: " + a.trouble + ". The advice needs none."),
    a.enabled && a.trouble ? h("p", { class: "problem" }, a.trouble) : null));
    form.hidden = !a.enabled;
  };
  const trouble = (where, e) => { if (e.name !== "AbortError") fill(where, h("p", { class: "problem", role: "alert" }, e.message)); };
  const forget = () => { prompt = null; send.disabled = true; fill(out); };
  question.addEventListener("input", () => { if (prompt && question.value.trim() !== prompt.asked) forget(); });
  const form = h("form", { class: "card gap", onsubmit: async (e) => {
    e.preventDefault();
    forget();
    const asked = question.value.trim();
    try {
      prompt = await call("POST", "/admin/copilot", { question: asked, dry_run: true }, signal);
      prompt.asked = asked;
      fill(out, sent(prompt, true));
      send.disabled = false;
      send.focus();
    } catch (x) { trouble(out, x); }
  } }, h("label", { for: "question" }, "Question"), question, h("div", { class: "actions" }, show, send, stop), out);
  send.addEventListener("click", async () => {
    if (!prompt || asking) return;
    const mine = prompt, text = h("p", { class: "prose" });
    asking = new AbortController();
    const end = () => asking && asking.abort();
    signal.addEventListener("abort", end);
    send.disabled = true; stop.hidden = false;
    fill(answer, h("h2", {}, "Answer"), h("div", { class: "card" }, h("p", { class: "muted" }, "Asking " + mine.provider + "…"), text));
    try {
      let whole = null;
      await ask("/admin/copilot", { id: mine.id }, asking.signal, (type, data) => {
        const v = JSON.parse(data);
        if (type === "piece") text.append(document.createTextNode(v.text));
        else if (type === "answer") whole = v;
        else if (type === "problem") throw new Error(v.detail);
      });
      if (!whole) throw new Error("The answer broke off.");
      fill(answer, h("h2", {}, "Answer"), answered(whole));
    } catch (x) {
      if (x.name === "AbortError") fill(answer, h("p", { class: "muted" }, "Given up."));
      else trouble(answer, x);
    }
    signal.removeEventListener("abort", end);
    asking = null; stop.hidden = true;
    forget();
    facts().catch(() => {});
  });
  stop.addEventListener("click", () => asking && asking.abort());
  fill(root, about, form, answer);
  await facts();
}

// sent shows all that is sent, and to whom.
function sent(p, before) {
  const out = h("details", { open: before }, h("summary", {}, (before ? "This would be sent to " : "Sent to ") + p.provider + " (" + p.model + ") at " + p.url + ": " + bytes(p.bytes) + ", " + (p.left_out === 1 ? "1 thing was" : p.left_out + " things were") + " left out"),
    h("h3", {}, "Question"), h("pre", { tabindex: 0 }, p.question), h("h3", {}, "Facts"), h("pre", { tabindex: 0, class: "facts" }, JSON.stringify(p.facts, null, 2)), h("h3", {}, "What it is told before"), h("pre", { tabindex: 0 }, p.system));
  return out;
}

function answered(a) {
  const calls = (a.calls || []).map((c) => h("article", { class: "card finding info" }, h("p", {}, h("span", { class: "mono" }, c.method + " " + c.path), " ", h("span", { class: "mono muted" }, Object.entries(c.params || {}).map(([k, v]) => k + "=" + v).join(" "))), c.why ? h("p", {}, c.why) : null,
    h("div", { class: "actions" }, button({ call: c, action: c.why || c.method + " " + c.path, evidence: c.path }))));
  const note = h("p", { class: "muted small" });
  setText(note, "By " + a.model + " of " + a.provider + " at " + a.url + ", in " + duration(a.elapsed_seconds) + ". It may be wrong: compare it with the figures." + (a.dropped ? " " + a.dropped + " of its proposals are no calls of this control plane and were dropped." : ""));
  return [h("div", { class: "card" }, h("p", { class: "prose" }, a.answer), a.cut ? h("p", { class: "problem" }, "It is not complete: " + a.cut + ".") : null, note), calls.length ? [h("h2", {}, "It proposes"), calls] : null, sent(a.sent, false)];
}
