// Calls of the control plane. A token is kept for the session of this tab only.

const tokenKey = "sluice-token";
let askToken = null; // shows the form; returns a promise of the token

export function onTokenNeeded(f) { askToken = f; }
export function hasToken() { return sessionStorage.getItem(tokenKey) !== null; }
export function setToken(t) { if (t) sessionStorage.setItem(tokenKey, t); else sessionStorage.removeItem(tokenKey); }

function headers(extra = {}) {
  const t = sessionStorage.getItem(tokenKey);
  return t ? { ...extra, Authorization: "Bearer " + t } : extra;
}

export class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

// words returns what an answer that refuses says.
function words(status, text) {
  try {
    const p = JSON.parse(text);
    return p.detail || p.error || p.title || "refused with status " + status;
  } catch { return text.trim() || "refused with status " + status; }
}

let asking = null; // one form for all calls that wait for a token

// raw makes a call and returns its response. Where a token is needed, or one that
// may do more than look, it is asked for.
export async function raw(method, path, { body, signal, accept } = {}) {
  const r = await fetch(path, {
    method, signal, cache: "no-store", redirect: "error", credentials: "omit",
    headers: headers({ ...(accept ? { Accept: accept } : {}), ...(body !== undefined ? { "Content-Type": "application/json" } : {}) }),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const more = r.status === 403 && (r.headers.get("WWW-Authenticate") || "").includes("insufficient_scope");
  if (!askToken || (r.status !== 401 && !more)) return r;
  if (!asking) { if (!more) setToken(null); asking = askToken(more).finally(() => { asking = null; }); }
  const token = await asking;
  if (token === null) return r; // somebody would rather not
  setToken(token);
  return raw(method, path, { body, signal, accept });
}

// call makes a call and returns the JSON of its answer; it throws a Refusal.
export async function call(method, path, body, signal) {
  const r = await raw(method, path, { body, signal });
  const text = await r.text();
  if (!r.ok) throw new Refusal(r.status, words(r.status, text));
  return text ? JSON.parse(text) : {};
}

export const get = (path, signal) => call("GET", path, undefined, signal);

// tryToken reports whether a token is a right one, or one that may do more than
// look: that sees the name of the program, and who only looks does not.
export async function tryToken(token, more) {
  const r = await fetch(more ? "/debug/pprof/cmdline" : "/admin/live", { method: more ? "GET" : "HEAD", cache: "no-store", credentials: "omit", headers: { Authorization: "Bearer " + token } });
  return ![401, 403, 429].includes(r.status);
}

// stream reads server-sent events and calls f with each one's type, data and ID
// until the stream ends or the signal says so. EventSource could send no token.
export const stream = (path, signal, f) => events("GET", path, undefined, signal, f);

// ask is stream of a call that has a body.
export const ask = (path, body, signal, f) => events("POST", path, body, signal, f);

async function events(method, path, body, signal, f) {
  const r = await raw(method, path, { body, signal, accept: "text/event-stream" });
  if (!r.ok || !(r.headers.get("Content-Type") || "").startsWith("text/event-stream")) throw new Refusal(r.status, words(r.status, await r.text()));
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  const parse = parser(f);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    parse(value);
  }
}

// parser returns a function that takes pieces of an event stream.
export function parser(f) {
  let rest = "", type = "", data = [], id = "";
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const l of lines) {
      if (l === "") {
        if (data.length) f(type || "message", data.join("\n"), id);
        type = ""; data = [];
      } else if (l[0] !== ":") {
        const i = l.indexOf(":");
        const field = i < 0 ? l : l.slice(0, i);
        let value = i < 0 ? "" : l.slice(i + 1);
        if (value[0] === " ") value = value.slice(1);
        if (field === "data") data.push(value); else if (field === "event") type = value; else if (field === "id") id = value;
      }
    }
  };
}

// The calls there are, by the API's own description; without one, those that
// merely look and are always there.
let known = null;
export async function learn() {
  known = new Map();
  for (const p of ["/admin/backends", "/admin/config", "/admin/history", "/admin/advice", "/admin/live"]) known.set("GET " + p, null);
  try {
    const doc = await get("/admin/openapi.json");
    for (const [path, methods] of Object.entries(doc.paths || {})) for (const [m, op] of Object.entries(methods)) known.set(m.toUpperCase() + " " + path, op);
  } catch (e) { if (e.status !== 404) throw e; }
}
export const can = (method, path) => known !== null && known.has(method + " " + path);

// exists reports whether there is a call of that method at a path, names and all.
export function exists(method, path) {
  const parts = path.split("/");
  for (const k of known ? known.keys() : []) {
    const [m, template] = k.split(" "), want = template.split("/");
    if (m === method && want.length === parts.length && want.every((w, i) => (w[0] === "{" ? parts[i] && !/^\.\.?$/.test(parts[i]) : w === parts[i]))) return true;
  }
  return false;
}

// allowed returns the values that a parameter may have, as the API describes it;
// null if it does not say.
export function allowed(method, path, name) {
  const op = known && known.get(method + " " + path);
  const p = op && (op.parameters || []).find((x) => x.name === name);
  return (p && p.schema && p.schema.enum) || null;
}

export const seg = encodeURIComponent;
