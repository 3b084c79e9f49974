// Numbers and DOM: small, pure where possible.

export const whole = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));
export const fixed = (value, digits) => (value == null ? "–" : value.toFixed(digits));
export const percent = (value, digits = 0) => (value == null ? "–" : `${(100 * value).toFixed(digits)} %`);

/** 1 -> "1 picture", 1200 -> "1,200 pictures". */
export const counted = (count, what) => `${whole(count)} ${what}${count === 1 ? "" : "s"}`;

/** 1536 -> "1.5 kB": decimal units, for totals; single frames are told in whole bytes. */
export function size(bytes) {
  if (bytes == null) return "–";
  const units = ["B", "kB", "MB", "GB"];
  let place = 0;
  while (bytes >= 1000 && place < units.length - 1) { bytes /= 1000; place += 1; }
  return `${place ? bytes.toFixed(bytes < 10 ? 1 : 0) : bytes} ${units[place]}`;
}

/** How one size compares to another, in words: "3.0 times as large as", "1.3 times smaller than". */
export function ratio(part, whole) {
  if (!part || !whole) return null;
  const times = part / whole;
  if (times >= 1.05) return `${times.toFixed(1)} times as large as`;
  if (times > 0.95) return "about as large as";
  return `${(1 / times).toFixed(1)} times smaller than`;
}

export const find = (id) => document.getElementById(id);

/** Writes only what has changed, so that nothing flickers and no selection is lost. */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export function show(node, yes) {
  node.toggleAttribute("hidden", !yes); // the `hidden` property does not exist on SVG
}

export function picture(node, address, description) {
  show(node, Boolean(address));
  if (address && node.src !== address) node.src = address;
  if (node.alt !== description) node.alt = description;
}

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** A word or figure that is explained on hover, focus and touch (see explain.js). */
export const explain = (key, words) => make("button", { type: "button", class: "explain", "data-explain": key }, words);

const SVG = "http://www.w3.org/2000/svg";
export function draw(tag, attributes = {}, content) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (content != null) node.textContent = content;
  return node;
}

const FOCUSABLE = "button, select, input";

/** Replaces a list's children only when what they would show is different; the keyboard stays where it was. */
export function refill(node, signature, build) {
  const mark = JSON.stringify(signature);
  if (node.dataset.mark === mark) return;
  node.dataset.mark = mark;
  const focused = [...node.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  node.replaceChildren(...build());
  if (focused >= 0) node.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
}
