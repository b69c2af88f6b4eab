// A table of which only those rows are drawn that are seen.
import { h, setAttr, setText } from "./dom.js";

// Table shows rows, of one height, in columns: {key, name, width, num, sort(row),
// cell(row), update(cell, row)}. A row needs an id. pick is called with the row
// that is chosen.
export class Table {
  constructor({ label, columns, pick, empty = "Nothing to show.", height = "min(65vh, 46rem)", rowHeight = 40 }) {
    Object.assign(this, { columns, pick, rowHeight, rows: [], drawn: new Map(), by: null, down: false, chosen: null });
    const widths = columns.map((c) => c.width || "minmax(6rem, 1fr)").join(" ");
    this.widths = widths;
    this.head = h("div", { class: "row head", role: "row", "aria-rowindex": 1 }, columns.map((c, i) => {
      const cell = h("div", { role: "columnheader", class: c.num ? "num" : null, "aria-colindex": i + 1 });
      cell.append(c.sort ? h("button", { type: "button", onclick: () => this.order(c) }, c.name) : c.name);
      return cell;
    }));
    this.above = h("div", { class: "pad", role: "presentation" });
    this.below = h("div", { class: "pad", role: "presentation" });
    this.body = h("div", { role: "rowgroup" });
    this.none = h("div", { class: "empty", hidden: true }, empty);
    this.grid = h("div", { class: "grid wide", role: "table", "aria-label": label, "aria-colcount": columns.length }, h("div", { role: "rowgroup" }, this.head), this.above, this.body, this.below);
    this.element = h("div", { class: "scroll live", tabindex: 0, "aria-label": label + ", scrollable", role: "region" }, this.grid, this.none);
    this.element.style.maxHeight = height;
    // As wide as the least widths of the columns; what is longer is cut off.
    const least = columns.reduce((sum, c) => sum + Number(/([\d.]+)rem/.exec(c.width || "6rem")[1]) + 0.7, 1.2);
    this.grid.style.minWidth = least + "rem";
    this.head.style.gridTemplateColumns = widths;
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.body.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  order(c) {
    const rows = this.rows;
    this.down = this.by === c ? !this.down : !!c.downFirst;
    this.by = c;
    this.rows = [];
    this.columns.forEach((x, i) => setAttr(this.head.children[i], "aria-sort", x === c ? (this.down ? "descending" : "ascending") : null));
    this.show(rows);
  }

  // show sets the rows there are; those that are drawn are brought up to date.
  show(rows) {
    if (this.by) {
      const keyed = rows.map((r) => [this.by.sort(r), r]);
      keyed.sort(([a, x], [b, y]) => (compare(a, b) || compare(x.id, y.id)) * (this.down ? -1 : 1));
      rows = keyed.map((k) => k[1]);
    }
    this.rows = this.held() ? inPlace(this.rows, rows) : rows;
    rows = this.rows;
    setAttr(this.grid, "aria-rowcount", rows.length + 1);
    this.none.hidden = rows.length > 0;
    this.draw();
  }

  // held reports whether somebody points at a row or has the focus on one: rows do
  // not move away from under a hand.
  held() { return this.body.contains(document.activeElement) || this.body.matches(":hover"); }

  draw() {
    const height = this.rowHeight, top = Math.max(0, this.element.scrollTop - 34), seen = this.element.clientHeight || 600;
    const first = Math.max(0, Math.min(Math.floor(top / height) - 4, Math.max(0, this.rows.length - 1))), last = Math.min(this.rows.length, Math.ceil((top + seen) / height) + 4);
    this.above.style.height = first * height + "px";
    this.below.style.height = Math.max(0, this.rows.length - last) * height + "px";
    // Those that go, go first: who has the focus loses it by being moved.
    const keep = new Map(), wanted = new Set();
    for (let i = first; i < last; i++) wanted.add(this.rows[i].id);
    for (const [id, e] of this.drawn) if (!wanted.has(id)) { e.element.remove(); this.drawn.delete(id); }
    let place = this.body.firstChild;
    for (let i = first; i < last; i++) {
      const row = this.rows[i];
      let e = this.drawn.get(row.id);
      if (!e) e = this.make(row);
      e.row = row;
      setAttr(e.element, "aria-rowindex", i + 2);
      e.element.classList.toggle("picked", this.chosen === row.id);
      this.columns.forEach((c, k) => { if (c.update) c.update(e.cells[k], row); else setText(e.cells[k], c.cell(row)); if (c.title) { const t = c.title(row); setAttr(e.cells[k], "title", t || null); } });
      keep.set(row.id, e);
      if (place === e.element) place = place.nextSibling;
      else this.body.insertBefore(e.element, place);
    }
    this.drawn = keep;
  }

  make(row) {
    const cells = this.columns.map((c, i) => h("div", { role: "cell", class: c.num ? "num" : null, "aria-colindex": i + 1 }));
    const element = h("div", { class: this.pick ? "row pick" : "row", role: "row", tabindex: this.pick ? 0 : null }, cells);
    element.style.gridTemplateColumns = this.widths;
    element.style.height = this.rowHeight + "px";
    const e = { element, cells, row };
    if (this.pick) element.addEventListener("click", () => this.choose(e.row));
    return e;
  }

  choose(row) { this.chosen = row.id; this.draw(); this.pick(row); }

  key(e) {
    const row = e.target.closest(".row");
    if (!row || row !== e.target) return;
    const entry = [...this.drawn.values()].find((x) => x.element === row);
    if (e.key === "Enter" || e.key === " ") { e.preventDefault(); if (this.pick) this.choose(entry.row); return; }
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[e.key];
    if (!by) return;
    e.preventDefault();
    const i = Math.max(0, Math.min(this.rows.length - 1, this.rows.indexOf(entry.row) + by));
    const y = i * this.rowHeight, v = this.element;
    if (y < v.scrollTop) v.scrollTop = y; else if (y + this.rowHeight + 40 > v.scrollTop + v.clientHeight) v.scrollTop = y + this.rowHeight + 40 - v.clientHeight;
    this.draw();
    const next = this.drawn.get(this.rows[i].id);
    if (next) next.element.focus({ preventScroll: true });
  }
}

// inPlace returns rows in the order in which they were, those that came last.
function inPlace(before, rows) {
  const place = new Map(before.map((r, i) => [r.id, i])), at = (r) => (place.has(r.id) ? place.get(r.id) : Infinity);
  const key = new Map(rows.map((r, i) => [r, i]));
  return rows.slice().sort((a, b) => { const x = at(a), y = at(b); return x === y ? key.get(a) - key.get(b) : x - y; });
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}

// plain makes an ordinary table for what is short.
export function plain(columns, rows, empty = "None.") {
  if (!rows.length) return h("p", { class: "muted" }, empty);
  return h("table", {}, h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col", class: c.num ? "num" : c.tight ? "tight" : null }, c.name)))),
    h("tbody", {}, rows.map((r) => h("tr", {}, columns.map((c) => h("td", { class: c.num ? "num" : c.tight ? "tight" : null, title: c.title ? c.title(r) : null }, c.cell(r)))))));
}

// wide is what a table stands in that may be wider than the page.
export function wide(label, ...children) { return h("div", { class: "card wide", tabindex: 0, role: "region", "aria-label": label + ", scrollable" }, children); }
