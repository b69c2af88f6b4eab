// Elements are made here and nowhere else. Whatever is not an element becomes
// text: nothing that comes from outside is ever read as HTML.

const svgNames = new Set(["svg", "path", "line", "title", "g"]);

// h makes an element. attrs: on… are listeners, "text" is its text, "props" sets
// properties, everything else attributes; null and false leave one out.
export function h(name, attrs, ...children) {
  const e = svgNames.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [k, v] of Object.entries(attrs || {})) {
    if (v === null || v === undefined || v === false) continue;
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (k === "props") Object.assign(e, v);
    else if (k === "href") e.setAttribute("href", safeLink(v));
    else e.setAttribute(k, v === true ? "" : printable(String(v)));
  }
  add(e, children);
  return e;
}

function add(e, children) {
  for (const c of children.flat(9)) {
    if (c === null || c === undefined || c === false) continue;
    e.append(c instanceof Node ? c : document.createTextNode(printable(String(c))));
  }
}

// fill replaces what is in an element.
export function fill(e, ...children) { e.replaceChildren(); add(e, children); return e; }

// setText sets the text of an element if it is another one.
export function setText(e, text) { text = printable(String(text)); if (e.textContent !== text) e.textContent = text; }

// setAttr sets an attribute if it is another one; null takes it away.
export function setAttr(e, name, value) {
  if (value === null || value === false) { if (e.hasAttribute(name)) e.removeAttribute(name); return; }
  value = printable(String(value));
  if (e.getAttribute(name) !== value) e.setAttribute(name, value);
}

// printable shows characters that control a terminal or turn the direction of
// text as their code.
export function printable(s) {
  return s.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

// safeLink lets links lead within this origin only.
function safeLink(v) { v = String(v); return v.startsWith("#") || (v.startsWith("/") && !v.startsWith("//")) ? v : "#"; }
