// Asks the attacker for what is new, over and over, and paints it, at most once per animation frame.

import { paintAnswers, paintBytes, paintCharts, paintProblems, paintTable, readout } from "./cards.js";
import * as explanations from "./explain.js";
import { counted, find, make, refill, show, text } from "./format.js";
import { fetchMissing, hold, keep, paintHistory, paintPlayer, save, step } from "./history.js";
import * as source from "./source.js";
import { paintStage } from "./stage.js";
import { aheadOfTheWire, encrypted, isCloudTap, look, page, previewOff, shownSides, tallyOf, titleOf } from "./state.js";
import * as switches from "./switches.js";
import { renderTaps } from "./taps.js";
import { evidence, headline } from "./verdict.js";

const SHOWN_MS = 1000; // a picture stays at least this long, so that eyes can compare
const OWN_SHOWN_MS = 250; // one's own face should follow
const ASK_GAP_MS = 80;
const RETRY_MS = 1000;
const POINTS = 240;
const RATE_MS = 5000;
const QUIET_MS = 4000;

// ---- news ----

const takes = {
  hello(hello) {
    page.bundles = new Map(hello.bundles.map((bundle) => [bundle.digest, bundle]));
    page.problems = [...hello.problems];
    page.known = hello.problems;
  },
  pair(pair) {
    page.newest = pair;
    keep(pair);
  },
  kept(numbers) { page.wanted = numbers; },
  points(points) {
    const now = performance.now();
    page.movedAt = now;
    moved();
    if (points.some((point) => !isCloudTap(point.tap))) page.wireFrameAt = now;
    page.points = [...page.points, ...points].slice(-POINTS);
  },
  books(books) {
    const now = performance.now();
    page.books = books;
    for (const tap of books.taps) {
      const left = tap.leftovers;
      if (!left) continue;
      const before = page.opaque.get(tap.name);
      if ((left.reason || "").startsWith("tls") && before !== left.total_bytes) {
        page.opaqueAt = now;
        moved();
      }
      page.opaque.set(tap.name, left.total_bytes);
    }
    // The first books of a visit may be old: nobody looked.
    if (page.number) page.frameCounts.push([now, Math.max(0, ...Object.values(books.bundles).map((each) => each.frames_intercepted))]);
    page.frameCounts = page.frameCounts.filter(([time]) => now - time < RATE_MS);
  },
  camera(camera) { page.camera = { ...camera, at: performance.now() }; },
  ciphertext(record) { page.ciphertext = record; },
  problems(problems) { page.problems = [...(page.known ?? []), ...problems]; },
  conductor(state) {
    page.conductor = state;
    for (const party of down()) page.away.add(party);
  },
};

/** The parties that the conductor says are down. */
const down = () => Object.entries(page.conductor?.parties ?? {}).filter(([, state]) => state === "down").map(([party]) => party);

/** Something crossed the wire: who is up again is back. */
function moved() {
  page.away = new Set(down());
}

async function ask() {
  const answer = await fetch(`now?session=${page.session}&after=${page.number}`);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `the server answered ${answer.status}`);
  const news = await answer.json();
  if (news.session !== page.session) Object.assign(page, { number: 0, pairs: [], points: [], opaque: new Map(), frameCounts: [] });
  for (const [name, take] of Object.entries(takes)) if (name in news) take(news[name]);
  Object.assign(page, { session: news.session, number: news.number, connected: true, trouble: "", dirty: true });
}

async function listen() {
  for (;;) {
    try {
      await ask();
      await fetchMissing();
      await new Promise((done) => setTimeout(done, ASK_GAP_MS));
    } catch (error) {
      Object.assign(page, { connected: false, trouble: error.message, dirty: true });
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }
}

// ---- painting ----

function paint(now) {
  const least = source.isOwn() ? OWN_SHOWN_MS : SHOWN_MS;
  const due = page.newest && page.newest !== page.shown && now - page.shownAt >= least && !page.held;
  if (due) {
    page.shown = page.newest;
    page.shownAt = now;
  }
  if (due || page.dirty) {
    page.dirty = false;
    page.ahead = aheadOfTheWire(now);
    paintLive(paintAlarm(now));
    paintVerdict();
    paintStage();
    for (const part of [paintPlayer, paintHistory, paintAnswers, paintBytes, paintCharts, paintTable, paintProblems, source.update, explanations.check]) part();
    switches.update(now);
    if (page.books) renderTaps(find("taps"), page.books.taps);
  }
  requestAnimationFrame(paint);
}

function rate() {
  const [first, last] = [page.frameCounts[0], page.frameCounts.at(-1)];
  return first && last[0] > first[0] ? ((last[1] - first[1]) / (last[0] - first[0])) * 1000 : 0;
}

function paintLive(alarmed) {
  const live = find("live");
  const pace = alarmed ? 0 : rate();
  live.className = `live ${page.connected ? (pace > 0 ? "on" : "") : "off"}`;
  text(live.lastElementChild, !page.connected ? "not connected to the attacker" : pace > 0 ? `${pace.toFixed(1)} pictures/s` : encrypted() && !alarmed ? "encrypted traffic" : "quiet");
}

const IS_BACK = { cloud: "The cloud is back, but nothing crosses the wire yet.", edge: "The phone is back, but nothing crosses the wire yet." };
const ALARMS = {
  cloud: "The cloud is down. The phone keeps its pictures and sends them again when the cloud is back; until then nothing crosses the wire.",
  edge: "The phone is down: nothing crosses the wire until it has started again.",
};

/** Says what is wrong above the pictures; whether anything is. */
function paintAlarm(now) {
  const gone = down();
  const quiet = page.shown && now - Math.max(page.movedAt, page.opaqueAt) > QUIET_MS;
  const words = !page.connected && page.shown ? `The attacker does not answer (${page.trouble}). Trying again…`
    : gone.length ? gone.map((party) => ALARMS[party]).join(" ")
    : page.away.size ? [...page.away].map((party) => IS_BACK[party]).join(" ")
    : quiet ? "Nothing crosses the wire at the moment: the phone or the cloud is away." : "";
  show(find("alarm"), Boolean(words));
  show(find("evidence"), !words);
  text(find("alarm"), words);
  document.documentElement.classList.toggle("still", Boolean(words));
  return Boolean(words);
}

function paintVerdict() {
  const sides = shownSides().map((side) => {
    const bundle = page.bundles.get(side.digest);
    const tally = tallyOf(side);
    return { side, bundle, tally, title: titleOf(side.digest), codec: side.codec, css: look(side.digest).css, psnr: tally?.psnr_mean ?? null, level: bundle?.mean_picture?.psnr ?? null };
  });
  if (encrypted() && !page.held) {
    const cloud = page.books?.taps.some((tap) => tap.kind === "cloud");
    return verdict("Encrypted: sizes and times are what is left to see.",
      cloud ? "TLS stops the eavesdropper on the wire. It does not stop the cloud itself: see below." : "TLS stops the eavesdropper on the wire. It does not stop the cloud itself, which no tap here listens to.");
  }
  const claim = headline(sides);
  if (claim) return verdict(claim, evidence(sides));
  if (sides.length) {
    const without = sides.find(({ bundle }) => bundle && !bundle.inverter);
    const why = without ? `There is no inverter for ${without.bundle.name}, so nothing is rebuilt of it; train one with ${without.bundle.train_inverter}` : previewOff() ? "Originals are unknown (no --preview), so nothing can be scored: judge by eye." : "Scores follow as soon as originals arrive.";
    return verdict("What the networks computed crosses the wire in the clear.", why);
  }
  const strangers = Object.values(page.books?.unknown_bundles ?? {}).reduce((sum, entry) => sum + entry.frames_intercepted, 0) + (page.books?.unsettled.frames ?? 0);
  if (strangers) return verdict("Frames pass, but of a bundle that the attacker does not have.", `${counted(strangers, "frame")} overheard and not decoded. Give their bundle with --bundles to decode them.`);
  return verdict("Waiting for the first frame.", "As soon as something crosses the wire, it appears here.");
}

/** The headline, with every network's title in its colour. */
function verdict(claim, why) {
  text(find("evidence"), why);
  refill(find("headline"), [claim, shownSides().map((side) => side.digest)], () => {
    let rest = [claim];
    for (const { digest } of shownSides()) {
      const words = titleOf(digest) === "Ordinary network" ? "the ordinary network" : titleOf(digest);
      rest = rest.flatMap((part) => (typeof part === "string" && part.includes(words) ? [part.slice(0, part.indexOf(words)), make("em", { class: look(digest).css }, words), part.slice(part.indexOf(words) + words.length)] : [part]));
    }
    return rest;
  });
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

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "h") hold();
  if (event.key === "t") find("theme").click();
  if (event.target.matches("input[type=radio], select")) return; // arrows choose there
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight" && page.held) step(1);
}

function begin() {
  if (location.search.includes("token=")) history.replaceState(null, "", location.pathname); // the cookie has it now
  let stored = null;
  try { stored = localStorage.getItem("theme"); } catch { /* as above */ }
  if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
  text(find("theme"), themeNow() === "dark" ? "Light" : "Dark");
  find("theme").addEventListener("click", () => setTheme(themeNow() === "dark" ? "light" : "dark"));
  find("hold").addEventListener("click", () => hold());
  find("previous").addEventListener("click", () => step(-1));
  find("next").addEventListener("click", () => step(1));
  find("save-png").addEventListener("click", () => save("png"));
  find("save-gif").addEventListener("click", () => save("gif"));
  addEventListener("keydown", onKey);
  for (const id of ["chart-psnr", "chart-ssim"]) {
    find(id).addEventListener("pointermove", readout);
    find(id).addEventListener("pointerdown", readout);
  }
  addEventListener("resize", () => { page.dirty = true; });
  explanations.begin();
  switches.begin();
  source.begin(switches.ask);
  listen();
  requestAnimationFrame(paint);
}

begin();
