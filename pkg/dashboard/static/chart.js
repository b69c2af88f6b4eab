// Small charts in SVG. What is drawn is worked out by pure functions, which a test
// calls; Chart keeps one on the page.
import { h, setAttr, setText } from "./dom.js";
import { clock, utc } from "./format.js";

// range returns the lowest and highest known value, null without any.
export function range(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (v !== null && v !== undefined) { if (v < low) low = v; if (v > high) high = v; }
  return low === Infinity ? null : { low, high };
}

// nice returns a round number that is at least v: 1, 2, 2.5 or 5 times a power of
// ten.
export function nice(v) {
  if (!(v > 0)) return 1;
  const p = Math.pow(10, Math.floor(Math.log10(v)));
  for (const f of [1, 2, 2.5, 5, 10]) if (v <= f * p * (1 + 1e-9)) return f * p;
  return 10 * p;
}

// line returns the path of values over a width and height, from a top value down
// to 0. What is unknown is left out; one value alone becomes a short stroke.
export function line(values, width, height, top) {
  const step = values.length > 1 ? width / (values.length - 1) : width;
  let path = "", drawn = false;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v === null || v === undefined) { drawn = false; continue; }
    const x = round(i * step), y = round(height - Math.min(Math.max(v / top, 0), 1) * height);
    if (drawn) path += "L" + x + " " + y;
    else { path += "M" + x + " " + y; if (values[i + 1] === null || values[i + 1] === undefined) path += "h" + round(Math.max(step / 2, 0.5)); }
    drawn = true;
  }
  return path;
}

// area returns the path of what is below line.
export function area(values, width, height, top) {
  const step = values.length > 1 ? width / (values.length - 1) : width;
  let path = "", begin = -1;
  const close = (end) => {
    if (begin < 0 || end === begin) { begin = -1; return; }
    path += "M" + round(begin * step) + " " + height;
    for (let i = begin; i <= end; i++) path += "L" + round(i * step) + " " + round(height - Math.min(Math.max(values[i] / top, 0), 1) * height);
    path += "L" + round(end * step) + " " + height + "Z";
    begin = -1;
  };
  for (let i = 0; i < values.length; i++) {
    const known = values[i] !== null && values[i] !== undefined;
    if (known && begin < 0) begin = i;
    if (!known && begin >= 0) close(i - 1);
  }
  if (begin >= 0) close(values.length - 1);
  return path;
}

function round(v) { return Math.round(v * 100) / 100; }

// places returns where marks go: those within the time, as x.
export function places(marks, from, to, width) {
  if (!(to > from)) return [];
  return marks.filter((m) => m.time >= from && m.time <= to).map((m) => ({ x: round((m.time - from) / (to - from) * width), mark: m }));
}

// summary says in words what a chart shows.
export function summary(name, values, write) {
  const known = values.filter((v) => v !== null && v !== undefined);
  if (!known.length) return name + ": nothing is known yet";
  const r = range(known);
  return name + ": now " + write(known[known.length - 1]) + ", lowest " + write(r.low) + ", highest " + write(r.high);
}

const W = 300, H = 50;

// Chart is one chart: draw shows values, of which the first is of time from and
// each stands for width ms.
export class Chart {
  constructor(name, write, kind = "") {
    this.name = name; this.write = write; this.values = []; this.marks = [];
    this.area = h("path", { class: "area" });
    this.line = h("path", { class: "line" });
    this.cursor = h("line", { class: "cursor", y1: 0, y2: H, visibility: "hidden" });
    this.markLines = h("g", {});
    this.svg = h("svg", { class: "chart " + kind, viewBox: "0 0 " + W + " " + H, preserveAspectRatio: "none", role: "img" }, this.area, this.markLines, this.line, this.cursor);
    this.note = h("div", { class: "extra" });
  }

  // interactive lets pointer and keys ask for single values.
  interactive() {
    setAttr(this.svg, "tabindex", 0);
    this.svg.addEventListener("pointermove", (e) => { const r = this.svg.getBoundingClientRect(); this.point(Math.round((e.clientX - r.left) / r.width * (this.values.length - 1))); });
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.svg.addEventListener("blur", () => this.point(null));
    this.svg.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60 }[e.key];
      if (e.key === "Escape") this.point(null);
      else if (step) { e.preventDefault(); this.point(Math.min(this.values.length - 1, Math.max(0, (this.at === null || this.at === undefined ? this.values.length - 1 : this.at) + step))); }
    });
    return this;
  }

  draw(values, from, width, marks = []) {
    this.values = values; this.from = from; this.width = width;
    const r = range(values), top = nice(r ? r.high : 1);
    setAttr(this.line, "d", line(values, W, H - 2, top));
    setAttr(this.area, "d", area(values, W, H - 2, top));
    setAttr(this.svg, "aria-label", summary(this.name, values, this.write));
    const at = places(marks, from, from + width * values.length, W);
    const key = at.map((p) => p.x + p.mark.text).join("\n");
    if (key !== this.markKey) {
      this.markKey = key;
      this.markLines.replaceChildren(...at.slice(-40).map((p) => h("line", { class: "mark", x1: p.x, x2: p.x, y1: 0, y2: H }, h("title", {}, clock(p.mark.time) + " " + p.mark.text))));
    }
    this.marks = at;
    if (this.at === null || this.at === undefined) setText(this.note, r ? "highest " + this.write(r.high) : "");
  }

  point(i) {
    this.at = i;
    if (i === null || i < 0 || !this.values.length) {
      this.at = null;
      setAttr(this.cursor, "visibility", "hidden");
      const r = range(this.values);
      setText(this.note, r ? "highest " + this.write(r.high) : "");
      this.note.title = "";
      return;
    }
    const x = this.values.length > 1 ? i * W / (this.values.length - 1) : 0;
    for (const [k, v] of [["x1", x], ["x2", x], ["visibility", "visible"]]) setAttr(this.cursor, k, v);
    const t = this.from + i * this.width;
    const near = this.marks.find((p) => Math.abs(p.x - x) < W / 100);
    setText(this.note, clock(t) + "  " + this.write(this.values[i]) + (near ? "  – " + near.mark.text : ""));
    this.note.title = utc(t);
  }
}
