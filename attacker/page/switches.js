// What the running demo plays. The conductor decides; until it confirms, a wish is shown as a wish.

import { explain, find, make, refill, show, text } from "./format.js";
import { bundleNamed, look, page } from "./state.js";

const PATIENCE_MS = 30000;
const TOLD_MS = 5000; // a refusal is news, not a state

let wish = null;
let refusal = null;

/** Takes the conductor's latest state, as `page.conductor`. */
export function update(now) {
  const state = page.conductor;
  show(find("switches"), Boolean(state));
  show(find("to-switches"), Boolean(state));
  if (!state) return;
  if (wish && (isGranted(wish.fields, state) || now - wish.since > PATIENCE_MS)) wish = null;
  if (refusal && now - refusal.since > TOLD_MS) refusal = null;
  paintPair(state);
  paintCodecs(state);
  segments("pick-tls", "tls", [[false, "readable"], [true, "encrypted (TLS)"]], wish?.fields.tls ?? state.tls, "tls" in (wish?.fields ?? {}), (tls) => ask({ tls }));
  for (const party of ["cloud", "edge"]) find(`end-${party}`).disabled = state.parties?.[party] === "down" || !state.reachable;
  const line = find("wish");
  line.classList.toggle("bad", Boolean(refusal) || !state.reachable);
  text(line, refusal?.text ?? (state.reachable ? (wish ? "Asked for; waiting until it plays…" : "") : state.error));
}

const key = (names) => [...names].sort().join("+");

function isGranted(fields, state) {
  if ("bundles" in fields) return key(fields.bundles) === key(playing(state)) && state.in_turn !== true;
  if ("codec" in fields) return Object.entries(fields.codec).every(([name, codec]) => state.pair?.find((side) => side.bundle === name)?.codec === codec);
  if ("in_turn" in fields) return state.in_turn !== false;
  return Object.entries(fields).every(([name, value]) => state[name] === value);
}

const playing = (state) => (state.pair ?? []).map((side) => side.bundle);

function paintPair(state) {
  const choices = (state.choices ?? []).map((choice) => [key(choice.bundles), what(choice, state.choices), choice.bundles]);
  show(find("field-pair"), choices.length > 1);
  if (choices.length < 2) return;
  const inTurn = [["turn", "in turn"]];
  const asked = wish?.fields.in_turn ? "turn" : wish?.fields.bundles ? key(wish.fields.bundles) : null;
  const chosen = asked ?? (state.in_turn === true ? "turn" : key(playing(state)));
  segments("pick-pair", "pair", [...choices.map(([value, title]) => [value, title]), ...inTurn], chosen, asked != null,
    (value) => ask(value === "turn" ? { in_turn: true } : { bundles: choices.find(([each]) => each === value)[2] }));
}

/** What sets a choice apart from the others: the networks that not all of them have. */
function what(choice, all) {
  const own = choice.bundles.filter((name) => !all.every((each) => each.bundles.includes(name)));
  return own.length && own.every(bundleNamed) ? own.map((name) => bundleNamed(name).title).join(" and ") : choice.title;
}

function paintCodecs(state) {
  const sides = state.pair ?? [];
  const digestOf = (side) => bundleNamed(side.bundle)?.digest ?? "";
  refill(find("pick-codec"), sides.map((side) => [side.bundle, side.title, side.codecs, look(digestOf(side))]), () => sides.map((side, place) => {
    const select = make("select", { id: `codec-${place}`, "data-bundle": side.bundle, "aria-label": `codec of ${side.title}` }, ...side.codecs.map((codec) => make("option", { value: codec.name }, codec.name)));
    select.addEventListener("change", () => ask({ codec: { [side.bundle]: select.value } }));
    return make("div", { class: "field" }, make("span", { class: "legend" }, make("i", { class: `swatch ${look(digestOf(side)).css} ${look(digestOf(side)).shape}`, "aria-hidden": "true" }), explain("codec", "codec")), select);
  }));
  sides.forEach((side, place) => {
    const select = find(`codec-${place}`);
    const asked = wish?.fields.codec?.[side.bundle];
    select.classList.toggle("waiting", asked != null);
    if (document.activeElement !== select || asked == null) select.value = asked ?? side.codec;
    select.previousElementSibling.querySelector(".explain").dataset.explain = `codec|codec ${digestOf(side)} ${asked ?? side.codec}`;
  });
}

function segments(id, name, choices, chosen, waiting, choose) {
  const box = find(id);
  box.classList.toggle("waiting", waiting);
  refill(box, choices, () => choices.map(([value, title]) => {
    const input = make("input", { type: "radio", name, value: String(value) });
    input.addEventListener("change", () => box.choose(value));
    return make("label", {}, input, make("span", {}, title));
  }));
  box.choose = choose;
  for (const input of box.querySelectorAll("input")) input.checked = input.value === String(chosen);
}

/** Asks the conductor for something; what it answers comes with its next state, a refusal is told at once. */
export async function ask(fields, path = "switch") {
  const own = { fields, since: performance.now() };
  if (path === "switch") wish = own;
  refusal = null;
  page.dirty = true;
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields) });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `the server answered ${answer.status}`);
  } catch (error) {
    if (wish === own) wish = null;
    refusal = { text: `Not done: ${error.message}`, since: performance.now() };
  }
  page.dirty = true;
}

export function begin() {
  for (const party of ["cloud", "edge"]) find(`end-${party}`).addEventListener("click", () => ask({ party }, "end"));
}
