// The latest pictures: choose one, step through them, take one or all of them away.

import { find, fixed, make, refill, show, text } from "./format.js";
import { look, page, titleOf } from "./state.js";

const KEPT = 24;

/** Takes a pair into the strip, in order and once. */
export function keep(pair) {
  if (page.held || !pair.kept || page.pairs.some((each) => each.number === pair.number)) return;
  page.pairs = [...page.pairs, pair].sort((a, b) => a.number - b.number).slice(-KEPT);
}

/** Fetches one pair of before the page came, if one is missing; a slow line is asked for one at a time. */
export async function fetchMissing() {
  const have = new Set(page.pairs.map((pair) => pair.number));
  const number = page.held ? null : page.wanted.toReversed().find((each) => !have.has(each) && each <= (page.newest?.number ?? 0));
  if (number == null) return;
  page.wanted = page.wanted.filter((each) => each !== number);
  const answer = await fetch(`pair/${number}`);
  if (answer.ok) keep(await answer.json());
}

const place = () => page.pairs.findIndex((pair) => pair.number === page.shown?.number);

export function select(pair) {
  if (!page.held) hold(true);
  page.shown = pair;
  page.dirty = true;
}

/** Goes `by` pairs on or back; from the live picture, back is the one before the newest. */
export function step(by) {
  if (!page.pairs.length) return;
  const from = page.held ? place() : page.pairs.length;
  select(page.pairs[Math.min(Math.max(0, (from < 0 ? page.pairs.length - 1 : from) + by), page.pairs.length - 1)]);
}

export function hold(yes = !page.held) {
  page.held = yes;
  if (yes && place() < 0 && page.pairs.length) page.shown = page.pairs.at(-1);
  page.dirty = true;
}

export function paintPlayer() {
  find("hold").setAttribute("aria-pressed", String(page.held));
  text(find("hold"), page.held ? "Go on" : "Hold");
  const at = place();
  text(find("place"), page.held && at >= 0 ? `held: ${at + 1} of ${page.pairs.length}` : "");
  find("previous").disabled = !page.pairs.length || (page.held && at <= 0);
  find("next").disabled = !page.held || at >= page.pairs.length - 1;
  for (const id of ["save-png", "save-gif"]) find(id).disabled = !page.pairs.length;
}

export function paintHistory() {
  const list = find("history");
  const within = list.contains(document.activeElement) ? document.activeElement.dataset.number : null;
  refill(list, page.pairs.map((pair) => [pair.number, pair.sides.map((side) => titleOf(side.digest))]), () => page.pairs.toReversed().map(entry));
  for (const button of list.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(page.held && button.dataset.number === String(page.shown?.number)));
    if (button.dataset.number === within && document.activeElement !== button) button.focus({ preventScroll: true });
  }
  show(find("history-empty"), !page.pairs.length);
}

function entry(pair) {
  const { sides } = pair;
  const tile = (address, css, without) => (address ? make("img", { src: address, alt: "", class: css }) : make("span", { class: `none ${css}` }, without));
  const told = sides.map((side) => `${titleOf(side.digest)} ${side.similarity ? `${fixed(side.similarity.psnr, 1)} dB` : "not scored"}`);
  const button = make("button", { type: "button", "data-number": pair.number, "aria-label": `Picture ${pair.number}${pair.label ? `, ${pair.label}` : ""}: ${told.join(", ")}` },
    tile(pair.original, "", "unknown"), ...sides.map((side) => tile(side.pictures.reconstruction, `of ${look(side.digest).css}`, "not rebuilt")),
    make("span", { class: "figures" }, sides.map((side) => (side.similarity ? fixed(side.similarity.psnr, 1) : "–")).join(" / ")));
  button.addEventListener("click", () => select(pair));
  return make("li", {}, button);
}

/** Lets the browser store what the attacker's server draws of the pair that is shown, or of the last ones up to it. */
export async function save(kind) {
  const shown = place() >= 0 ? page.shown : page.pairs.at(-1);
  if (!shown) return;
  const answer = await fetch(kind === "png" ? `pair/${shown.number}.png` : `history.gif?until=${shown.number}`);
  if (!answer.ok) return text(find("place"), (await answer.json()).error);
  const address = URL.createObjectURL(await answer.blob());
  make("a", { href: address, download: kind === "png" ? `siftfunnel-${shown.number}.png` : "siftfunnel.gif" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
