// Numbers and times as people read them.

export function count(v) {
  if (v === null || v === undefined || Number.isNaN(v)) return "–";
  const a = Math.abs(v);
  if (a >= 1e9) return trim(v / 1e9) + " G";
  if (a >= 1e6) return trim(v / 1e6) + " M";
  if (a >= 1e4) return trim(v / 1e3) + " k";
  if (a >= 100 || Number.isInteger(v)) return String(Math.round(v));
  return trim(v);
}

function trim(v) { const a = Math.abs(v); return String(Number(v.toFixed(a >= 100 ? 0 : a >= 10 ? 1 : 2))); }

export function bytes(v) {
  if (v === null || v === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  while (Math.abs(v) >= 1000 && i < units.length - 1) { v /= 1000; i++; }
  return (i === 0 ? String(Math.round(v)) : trim(v)) + " " + units[i];
}

// seconds writes a latency given in seconds.
export function seconds(v) {
  if (v === null || v === undefined || Number.isNaN(v)) return "–";
  if (v < 0.001) return trim(v * 1e6) + " µs";
  if (v < 1) return trim(v * 1000) + " ms";
  return trim(v) + " s";
}

export function percent(v) { return v === null || v === undefined || Number.isNaN(v) ? "–" : trim(100 * v) + " %"; }

// duration writes how long something took or takes, given in seconds.
export function duration(s) {
  s = Math.max(0, Math.round(s));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60 ? (s % 60) + " s" : "");
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

const two = (n) => String(n).padStart(2, "0");

// clock writes a time in the browser's zone: the hour if it is of today, else the
// date, too.
export function clock(t, now = new Date()) {
  const d = new Date(t);
  if (Number.isNaN(d.getTime())) return "–";
  const hour = two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());
  if (d.toDateString() === now.toDateString()) return hour;
  return d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate()) + " " + hour;
}

// utc writes the same in UTC, for a tooltip.
export function utc(t) { const d = new Date(t); return Number.isNaN(d.getTime()) ? "" : d.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC"); }
