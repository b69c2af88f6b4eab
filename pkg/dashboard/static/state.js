// What is known of the run, as it comes by the stream or by asking.
import { get, seg, stream } from "./api.js";

export const stepWidth = 1000;
const kept = 900;       // seconds
const wide = 5;         // seconds of one value of a service's chart
export const oldAfter = 5000; // ms without news after which what is shown is old

export class State extends EventTarget {
  constructor() {
    super();
    this.about = null; this.services = new Map(); this.backends = new Map(); this.metrics = [];
    this.total = steps(""); this.chosen = null; // of all, and of one service that somebody looks at
    this.wide = { from: 0, first: 0, next: null, series: new Map() };
    this.marks = []; this.heard = 0; this.at = 0; this.how = "connecting"; this.step = null;
  }

  say(what) { this.dispatchEvent(new Event(what)); }
  get isOld() { return this.heard > 0 && performance.now() - this.heard > oldAfter; }
  get never() { return this.heard === 0; }

  // follow keeps the state up to date for ever: by the stream, and while there is
  // none by asking.
  async follow() {
    for (let failures = 0; ; ) {
      const stop = new AbortController();
      const watch = setInterval(() => { if (this.isOld) stop.abort(); }, 1000);
      try {
        await stream("/admin/live", stop.signal, (_, data) => { failures = 0; this.how = "stream"; this.take(JSON.parse(data)); });
      } catch (e) {
        this.trouble = e.message;
        failures++;
      }
      clearInterval(watch);
      try { this.how = "poll"; this.take(await get("/admin/live", AbortSignal.timeout(4000))); } catch (e) { this.trouble = e.message; this.say("trouble"); }
      await new Promise((r) => setTimeout(r, Math.min(5000, failures ? 1000 : 100)));
    }
  }

  take(f) {
    this.heard = performance.now();
    if (f.whole) { this.metrics = f.metrics; this.services = new Map(); this.backends = new Map(); }
    if (f.about) this.about = f.about;
    for (const [name, s] of Object.entries(f.services)) {
      if (s === null) { this.services.delete(name); this.backends.delete(name); continue; }
      this.services.set(name, s);
      if (!this.backends.has(name)) this.backends.set(name, new Map());
    }
    for (const [name, all] of Object.entries(f.backends)) {
      const mine = this.backends.get(name);
      if (!mine) continue;
      for (const [id, b] of Object.entries(all)) {
        if (b === null) { mine.delete(id); continue; }
        const old = mine.get(id);
        mine.set(id, Object.assign(old || { id, name: id, service: name, rate: null, rates: 0 }, blank, b));
      }
    }
    for (const [name, all] of Object.entries(f.counts)) {
      const mine = this.backends.get(name);
      if (!mine) continue;
      for (const [id, c] of Object.entries(all)) { const b = mine.get(id); if (b && c) b.counts = c; }
    }
    this.rates(f);
    this.at = f.at;
    if (f.marks) for (const m of f.marks) this.mark(m);
    this.grow(f.step);
    this.say("frame");
  }

  // rates works out what each backend is given a second, and its share.
  rates(f) {
    for (const mine of this.backends.values()) {
      let all = 0;
      for (const b of mine.values()) {
        const c = b.counts;
        if (!c) continue;
        if (b.before && f.at > b.beforeAt && !(f.whole && f.at - b.beforeAt > 30000)) {
          const now = Math.max(0, (c[1] - b.before) / ((f.at - b.beforeAt) / 1000));
          b.rate = b.rate === null ? now : b.rate + 0.35 * (now - b.rate);
          if (b.rate < 0.005) b.rate = 0;
        }
        b.before = c[1]; b.beforeAt = f.at;
        all += b.rate || 0;
      }
      for (const b of mine.values()) b.share = all > 0 && b.rate !== null ? b.rate / all : null;
    }
  }

  mark(m) {
    const key = m.at + m.service + m.backend + m.text;
    if (this.marks.some((x) => x.key === key)) return;
    const where = [m.service, m.backend].filter(Boolean).join(" ");
    this.marks.push({ ...m, key, time: Date.parse(m.at), text: (where ? where + ": " : "") + m.text, plain: m.text });
    this.marks.sort((a, b) => a.time - b.time);
    if (this.marks.length > 512) this.marks.shift();
  }

  // begin asks for the last minutes.
  async begin() { await Promise.all([this.more(), this.moreWide()]); }

  // choose has the steps of one service kept, too; of none with an empty name.
  async choose(service) {
    this.chosen = service ? steps(service) : null;
    if (service) await this.more(this.chosen);
  }

  async more(t = this.total) {
    const a = await get("/admin/history?since=" + (t.next ?? 0) + (t.service ? "&service=" + seg(t.service) : ""));
    const s = a.series[0] || {}, fresh = t.next === null || a.first !== t.next;
    if (fresh) { t.columns = {}; t.from = Date.parse(a.from); t.first = a.first; }
    for (const [k, v] of Object.entries(s)) if (Array.isArray(v)) { const c = t.columns[k] = (t.columns[k] || this.unknown(t)).concat(v); if (c.length > kept) c.splice(0, c.length - kept); }
    t.next = a.next;
    this.trim(t);
    for (const c of Object.values(t.columns)) while (c.length < t.next - t.first) c.push(null);
    for (const m of a.marks) this.mark(m);
    this.say("history");
  }

  // unknown is a column of steps of which nothing is known.
  unknown(t) { return new Array(Math.max(0, (t.next ?? t.first) - t.first)).fill(null); }

  // trim forgets what is older than what is kept.
  trim(t) { const old = t.next - t.first - kept; if (old > 0) { t.first += old; t.from += old * stepWidth; } }

  // grow adds the latest step to those that are kept, or asks for those that are
  // missing.
  grow(step) {
    this.step = step;
    for (const t of [this.total, this.chosen]) if (t) this.growOne(t, step, t.service ? step.services[t.service] : step.total);
    if (step.n % wide === 0 && !this.askingWide) { this.askingWide = true; this.moreWide().catch(() => {}).finally(() => { this.askingWide = false; }); }
  }

  growOne(t, step, values) {
    if (t.next === null || step.n < t.next) return;
    if (step.n > t.next) { if (!t.asking) { t.asking = true; this.more(t).catch(() => {}).finally(() => { t.asking = false; }); } return; }
    this.metrics.forEach((m, i) => { const c = t.columns[m] ||= this.unknown(t); c.push(values ? values[i] : null); if (c.length > kept) c.shift(); });
    t.next++;
    this.trim(t);
  }

  // moreWide asks for what is new of each service, a value for some seconds.
  async moreWide() {
    const w = this.wide;
    const a = await get("/admin/history?service=*&width=" + wide + "&metrics=requests,connections,failed,server_errors,mean,p99&since=" + (w.next ?? 0));
    const fresh = w.next === null || a.first !== w.next;
    if (fresh) w.series = new Map();
    const there = new Set();
    for (const s of a.series) {
      there.add(s.service);
      let mine = w.series.get(s.service);
      if (!mine) w.series.set(s.service, mine = { requests: [], connections: [], failed: [], server_errors: [], mean: [], p99: [] });
      for (const k of Object.keys(mine)) { mine[k].push(...s[k]); if (mine[k].length > kept / wide) mine[k].splice(0, mine[k].length - kept / wide); }
    }
    for (const name of w.series.keys()) if (!there.has(name)) w.series.delete(name);
    if (a.next > w.next || fresh) w.until = Date.parse(a.from) + (a.series[0] ? a.series[0].requests.length : 0) * wide * 1000;
    w.next = a.next; w.omitted = a.omitted_services;
    this.say("history");
  }

  // latest returns the latest value of a metric, of a service or of all.
  latest(metric, service) {
    if (!this.step) return null;
    const s = service ? this.step.services[service] : this.step.total, i = this.metrics.indexOf(metric);
    return s && i >= 0 ? s[i] : null;
  }
}

// steps is what is kept of one service, or of all.
function steps(service) { return { service, from: 0, first: 0, next: null, columns: {} }; }

// lastMinutes returns values with unknown ones in front, so that they are of 15
// minutes; width is how many seconds each stands for.
export function lastMinutes(values, width) {
  const missing = kept / width - values.length;
  return missing > 0 ? new Array(missing).fill(null).concat(values) : values;
}

// blank is what a backend does not say if it is so.
const blank = { zone: "", priority: 0, reason: "", streak: 0, signal: "", detail: "", word: "", order: "", order_reason: "", close_by: null, eject_until: null };
export const wideSeconds = wide;
