// Subscribes to the attacker's events and paints them, at most once per animation frame.

import { paintAnswer, paintBytes, paintCharts, paintPairs, paintProblems, paintTable, readout } from "./cards.js";
import { find, make, refill, text, whole } from "./format.js";
import { paintStage } from "./stage.js";
import { bundleNamed, current, encrypted, isCloudTap, look, otherMeasured, page, tallyOf } from "./state.js";
import { Switches } from "./switches.js";
import { renderTaps } from "./taps.js";
import { evidence, likeness } from "./verdict.js";

const SHOWN_MS = 300; // a picture stays at least this long, so that eyes can compare
const PAIR_MS = 1000; // and the strip of pairs moves at most this often
const PAIRS = 12;
const POINTS = 240;

let switches = null;

// ---- events ----

function onHello(hello) {
  page.bundles = new Map(hello.bundles.map((bundle) => [bundle.digest, bundle]));
  page.problems = hello.problems;
  page.points = hello.points.slice(-POINTS);
  page.pairs = hello.pictures.slice(-PAIRS);
  page.next = hello.pictures.at(-1) ?? null;
  if (hello.control) switches ??= new Switches((name) => (bundleNamed(name) ? `${look(bundleNamed(name).digest).css} ${look(bundleNamed(name).digest).shape}` : ""));
}

function onFrame(frame) {
  const now = performance.now();
  page.frameTimes.push(now);
  page.points.push({ id: frame.id, digest: frame.digest, codec: frame.codec, similarity: frame.similarity });
  if (page.points.length > POINTS) page.points.shift();
  if (isCloudTap(frame.tap)) {
    if (frame.pictures) page.cloudFrame = frame;
  } else {
    page.wireFrameAt = now;
  }
  if (!frame.pictures) return;
  page.next = frame;
  if (now - page.pairAt >= PAIR_MS && !page.held) {
    page.pairAt = now;
    page.pairs.push(frame);
    if (page.pairs.length > PAIRS) page.pairs.shift();
  }
}

function onState(books) {
  page.books = books;
  const now = performance.now();
  for (const tap of books.taps) {
    const left = tap.leftovers;
    if (!left) continue;
    const before = page.opaque.get(tap.name);
    if ((left.reason || "").startsWith("tls") && before !== left.total_bytes) page.opaqueAt = now;
    page.opaque.set(tap.name, left.total_bytes);
  }
}

function listen() {
  const source = new EventSource("events");
  const take = (name, act) => source.addEventListener(name, (event) => { act(JSON.parse(event.data)); page.dirty = true; });
  take("hello", onHello);
  take("frame", onFrame);
  take("state", onState);
  take("camera", (camera) => { page.camera = { ...camera, at: performance.now() }; });
  take("ciphertext", (record) => { page.ciphertext = record; });
  take("problem", (problem) => { if (!page.problems.includes(problem.text)) page.problems = [...page.problems, problem.text].slice(-20); });
  take("conductor", (state) => { switches?.update(state); });
  source.addEventListener("open", () => { page.connected = true; page.dirty = true; });
  source.addEventListener("error", () => { page.connected = false; page.dirty = true; });
}

// ---- painting ----

function paint(now) {
  const due = page.next && page.next !== page.shown && now - page.shownAt >= SHOWN_MS && !page.held;
  if (due) {
    page.shown = page.next;
    page.shownAt = now;
    beat();
  }
  if (due || page.dirty) {
    page.dirty = false;
    paintLive(now);
    if (!page.held) paintStage(now);
    paintVerdict();
    paintAnswer();
    paintBytes();
    paintCharts();
    paintPairs();
    paintTable();
    if (page.books) renderTaps(find("taps"), page.books.taps);
    paintProblems();
  }
  requestAnimationFrame(paint);
}

function beat() {
  for (const link of document.querySelectorAll(".link")) {
    link.classList.remove("beat");
    void link.offsetWidth; // restarts the animation
    link.classList.add("beat");
  }
}

function paintLive(now) {
  page.frameTimes = page.frameTimes.filter((time) => now - time < 5000);
  const live = find("live");
  const span = page.frameTimes.length > 1 ? (page.frameTimes.at(-1) - page.frameTimes[0]) / 1000 : 0;
  const quiet = !page.frameTimes.length;
  live.className = `live ${page.connected ? (quiet ? "" : "on") : "off"}`;
  const rate = span > 0 ? `${((page.frameTimes.length - 1) / span).toFixed(1)} frames a second` : "frames coming in";
  text(live.lastElementChild, !page.connected ? "not connected to the attacker" : quiet ? (encrypted() ? "encrypted traffic" : "quiet") : rate);
}

function paintVerdict() {
  const bundle = current();
  const tally = tallyOf(bundle);
  const level = bundle?.mean_picture?.psnr ?? null;
  if (encrypted()) {
    const cloud = page.books?.taps.some((tap) => tap.kind === "cloud");
    return verdict("Encrypted: ", "sizes and times are what is left to see.",
      cloud ? "TLS stops the eavesdropper on the wire. It does not stop the cloud itself: see below." : "TLS stops the eavesdropper on the wire. It does not stop the cloud itself, which no tap here listens to.");
  }
  if (tally?.psnr_mean != null) {
    const other = otherMeasured(bundle);
    return verdict(`With ${bundle.name}, `, `the eavesdropper ${likeness(tally.psnr_mean, level)}.`,
      evidence(tally, level, tallyOf(other), other?.name));
  }
  if (tally) {
    const why = !bundle.inverter ? "There is no inverter for this bundle, so nothing is rebuilt." : page.books.preview.phase === "off" ? "Originals are unknown (no --preview), so nothing can be scored: judge by eye." : "Scores follow as soon as originals arrive.";
    return verdict(`With ${bundle.name}, `, "features cross the wire in the clear.", why);
  }
  const strangers = Object.values(page.books?.unknown_bundles ?? {}).reduce((sum, entry) => sum + entry.frames_intercepted, 0) + (page.books?.unsettled.frames ?? 0);
  if (strangers) return verdict("Frames pass, ", "but of a bundle that the attacker does not have.", `${whole(strangers)} frames overheard and not decoded. Give their bundle with --bundles to decode them.`);
  return verdict("", "Waiting for the first frame.", "As soon as something crosses the wire, it appears here.");
}

function verdict(lead, claim, why) {
  refill(find("headline"), [lead, claim], () => [lead, make("em", {}, claim)]);
  text(find("evidence"), why);
}

// ---- controls ----

function themeNow() {
  return document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  text(find("theme"), theme === "dark" ? "Light" : "Dark");
  try { localStorage.setItem("theme", theme); } catch { /* private mode: the choice lasts as long as the page */ }
}

function hold() {
  page.held = !page.held;
  find("hold").setAttribute("aria-pressed", String(page.held));
  text(find("hold"), page.held ? "Held" : "Hold");
  page.dirty = true;
}

function begin() {
  let stored = null;
  try { stored = localStorage.getItem("theme"); } catch { /* as above */ }
  if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
  text(find("theme"), themeNow() === "dark" ? "Light" : "Dark");
  find("theme").addEventListener("click", () => setTheme(themeNow() === "dark" ? "light" : "dark"));
  find("hold").addEventListener("click", hold);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "h") hold();
    if (event.key === "t") find("theme").click();
  });
  for (const id of ["chart-psnr", "chart-ssim"]) {
    find(id).addEventListener("pointermove", readout);
    find(id).addEventListener("pointerdown", readout);
  }
  addEventListener("resize", () => { page.dirty = true; });
  listen();
  requestAnimationFrame(paint);
}

begin();
