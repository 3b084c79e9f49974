// Subscribes to the attacker's events and paints them, at most once per animation frame.

import { plot, plotRecords } from "./chart.js";
import { find, fixed, make, percent, picture, ratio, refill, show, size, text, whole } from "./format.js";
import { Switches } from "./switches.js";
import { renderTaps } from "./taps.js";
import { evidence, likeness, secret } from "./verdict.js";

const SHOWN_MS = 300; // a picture stays at least this long, so that eyes can compare
const PAIR_MS = 1000; // and the strip of pairs moves at most this often
const PAIRS = 12;
const POINTS = 240;
const QUIET_MS = 1500;

const page = {
  bundles: new Map(), books: null, points: [], shown: null, next: null, camera: null, pairs: [],
  held: false, shownAt: 0, pairAt: 0, wireFrameAt: -Infinity, opaqueAt: -Infinity, opaque: new Map(), frameTimes: [],
  cloudFrame: null, ciphertext: null, dirty: true, problems: [],
};
const pickers = {};

// ---- who is who ----

const isOpen = (bundle) => bundle.defence === "none";

function look(digest) {
  const all = [...page.bundles.values()];
  const bundle = page.bundles.get(digest);
  if (!bundle) return { css: "series-open-2", shape: "open" };
  const used = all.filter((other) => other === bundle || namesInUse().includes(other.name));
  const place = used.filter((other) => isOpen(other) === isOpen(bundle)).indexOf(bundle);
  const shape = isOpen(bundle) ? "open" : "shut";
  return { css: `series-${shape}${place % 2 ? "-2" : ""}`, shape };
}

const namesInUse = () => Object.keys(page.books?.bundles ?? {});
const bundleNamed = (name) => [...page.bundles.values()].find((bundle) => bundle.name === name);
const swatch = (digest) => make("span", { class: `swatch ${look(digest).css} ${look(digest).shape}`, "aria-hidden": "true" });
const tallyOf = (bundle) => (bundle && page.books ? page.books.bundles[bundle.name] : null);
const isCloudTap = (name) => page.books?.taps.find((tap) => tap.name === name)?.kind === "cloud";

function otherMeasured(bundle) {
  return [...page.bundles.values()]
    .filter((other) => other !== bundle && isOpen(other) !== isOpen(bundle) && tallyOf(other)?.psnr_mean != null)
    .sort((a, b) => tallyOf(b).frames_scored - tallyOf(a).frames_scored)[0];
}

// ---- events ----

function onHello(hello) {
  page.bundles = new Map(hello.bundles.map((bundle) => [bundle.digest, bundle]));
  page.problems = hello.problems;
  page.points = hello.points.slice(-POINTS);
  page.pairs = hello.pictures.slice(-PAIRS);
  page.next = hello.pictures.at(-1) ?? null;
  if (hello.control) pickers.switches ??= new Switches((name) => (bundleNamed(name) ? `${look(bundleNamed(name).digest).css} ${look(bundleNamed(name).digest).shape}` : ""));
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
  take("conductor", (state) => { pickers.switches?.update(state); });
  source.addEventListener("open", () => { page.connected = true; page.dirty = true; });
  source.addEventListener("error", () => { page.connected = false; page.dirty = true; });
}

// ---- painting ----

const encrypted = () => page.opaqueAt > page.wireFrameAt;
const tappedLeftovers = () => page.books?.taps.filter((tap) => tap.leftovers && tap.kind !== "cloud").map((tap) => tap.leftovers).sort((a, b) => b.latest_s - a.latest_s)[0];

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

function paintStage(now) {
  const hidden = encrypted();
  document.documentElement.classList.toggle("encrypted", hidden);
  const frame = page.shown;
  const bundle = frame && page.bundles.get(frame.digest);
  document.documentElement.style.setProperty("--now", frame ? `var(--${look(frame.digest).css.replace("series-", "")})` : "var(--soft)");
  paintCamera(frame, now);
  const leftovers = hidden ? tappedLeftovers() : null;
  show(find("records"), Boolean(leftovers));
  if (leftovers) plotRecords(find("records"), leftovers);
  text(find("rebuilt-title"), hidden ? "What the attacker is left with" : "The attacker rebuilds");
  if (hidden) {
    paintCiphertext(leftovers);
  } else if (!frame) {
    for (const part of ["feature", "reconstruction"]) {
      picture(find(part), null, "");
      show(find(`${part}-empty`), true);
      text(find(`${part}-empty`), "Nothing yet.");
    }
  } else {
    paintWire(frame, bundle);
    paintRebuilt(frame, bundle);
  }
  paintCloud(hidden);
}

function paintCiphertext(leftovers) {
  const record = page.ciphertext;
  picture(find("feature"), record?.picture, "An encrypted record, byte by byte as grey pixels");
  show(find("feature-empty"), !record);
  text(find("feature-empty"), "Encrypted.");
  refill(find("feature-note"), [record?.hex, leftovers?.total_bytes], () => [
    make("b", {}, record ? `${whole(record.byte_count)} bytes of ciphertext` : "ciphertext"), make("br"), make("code", {}, record ? `${record.hex} …` : ""),
  ]);
  picture(find("reconstruction"), null, "");
  show(find("reconstruction-empty"), !leftovers);
  text(find("reconstruction-empty"), "Nothing to invert.");
  text(find("reconstruction-note"), leftovers ? `No picture: sizes, directions and times of ${size(leftovers.total_bytes)} are all that is left.` : "\u00a0");
}

function paintCamera(frame, now) {
  const preview = page.books?.preview;
  const alone = page.camera && (!frame?.pictures.original || encrypted() || page.camera.at - page.shownAt > QUIET_MS) && now - page.camera.at < 10 * QUIET_MS;
  const shown = alone && !isRecentCloud(now) ? { address: page.camera.original, label: page.camera.label } : { address: frame?.pictures.original, label: frame?.label };
  picture(find("original"), shown.address, shown.label ? `The model’s input: ${shown.label}` : "The model’s input");
  show(find("original-empty"), !shown.address);
  text(find("original-empty"), preview?.phase === "off" ? "Unknown: no preview of the camera was given, and the wire does not carry it." : preview?.detail || "No picture yet.");
  const spec = frame && page.bundles.get(frame.digest);
  const parts = [shown.label ? `true label: ${shown.label}` : null, spec ? `${spec.input[1]}\u00a0×\u00a0${spec.input[0]} pixels` : null];
  text(find("original-note"), parts.filter(Boolean).join(", ") || "\u00a0");
}

const isRecentCloud = (now) => page.shown && isCloudTap(page.shown.tap) && now - page.shownAt < QUIET_MS;

function paintWire(frame, bundle) {
  picture(find("feature"), frame.pictures.feature, "Channels of the intercepted feature tensor");
  show(find("feature-empty"), !frame.pictures.feature);
  const [channels, height, width] = frame.feature?.shape ?? [0, 0, 0];
  const some = frame.feature && frame.feature.tiles < channels ? `, ${frame.feature.tiles} shown` : "";
  refill(find("feature-note"), [frame.payload_bytes, frame.codec, channels, bundle?.name], () => [
    make("b", {}, `${whole(frame.payload_bytes)} bytes`), ` as ${frame.codec}, frame ${frame.sequence}`, make("br"),
    `feature of ${channels}\u00a0×\u00a0${height}\u00a0×\u00a0${width}${some}`,
  ]);
}

function paintRebuilt(frame, bundle) {
  const none = bundle && !bundle.inverter ? `No inverter for ${bundle.name}: its bytes and features are visible, but nothing is rebuilt here.` : "Not rebuilt.";
  picture(find("reconstruction"), frame.pictures.reconstruction, "What the attacker rebuilt from the feature");
  show(find("reconstruction-empty"), !frame.pictures.reconstruction);
  text(find("reconstruction-empty"), none);
  const near = frame.similarity;
  refill(find("reconstruction-note"), [near, bundle?.digest, namesInUse()], () => [
    near ? make("b", {}, `PSNR ${fixed(near.psnr, 1)} dB, SSIM ${fixed(near.ssim, 2)}`) : frame.pictures.reconstruction ? "not scored: the original is not known" : "not scored",
    make("br"), bundle ? swatch(bundle.digest) : null, bundle ? ` through ${bundle.name}` : "",
  ]);
}

function paintCloud(hidden) {
  const frame = page.shown && isCloudTap(page.shown.tap) ? page.shown : page.cloudFrame;
  const there = page.books?.taps.some((tap) => tap.kind === "cloud");
  show(find("cloud"), Boolean(hidden && there && frame));
  if (!hidden || !frame) return;
  picture(find("cloud-feature"), frame.pictures.feature, "The feature as the cloud receives it");
  picture(find("cloud-reconstruction"), frame.pictures.reconstruction, "The picture as the cloud could rebuild it");
  const near = frame.similarity ? `PSNR ${fixed(frame.similarity.psnr, 1)} dB, SSIM ${fixed(frame.similarity.ssim, 2)}.` : "";
  text(find("cloud-note"), `${frame.answer ? `It answered “${frame.answer.class}”. ` : ""}${near}`);
}

function current() {
  return page.shown ? page.bundles.get(page.shown.digest) : null;
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

function paintAnswer() {
  const frame = page.shown;
  const fromCloud = Boolean(frame && isCloudTap(frame.tap));
  const hidden = encrypted() && !fromCloud;
  text(find("answer-title"), fromCloud ? "The answer the cloud gave" : "The answer it overheard");
  const answer = hidden ? null : frame?.answer;
  text(find("answer"), answer ? answer.class : hidden ? "not readable" : "nothing yet");
  const mark = find("answer-mark");
  mark.className = answer?.correct == null ? "" : answer.correct ? "right" : "wrong";
  text(mark, answer?.correct == null ? "" : answer.correct ? "✓ right" : `✗ it was ${frame.label}`);
  find("meter").firstElementChild.style.width = answer ? `${100 * answer.score}%` : "0";
  const tally = tallyOf(current());
  const heard = tally?.answers_overheard ? `; ${whole(tally.answers_overheard)} answers overheard${tally.answers_accuracy != null ? `, ${percent(tally.answers_accuracy, 1)} right` : ""}` : "";
  text(find("answer-note"), answer ? `the service’s own score: ${percent(answer.score, 1)}${heard}` : "\u00a0");
  const line = secret(current(), tally, encrypted());
  show(find("secret"), Boolean(line));
  text(find("secret"), line);
}

function paintBytes() {
  const bundle = current();
  const tally = tallyOf(bundle);
  if (!bundle || !tally) return text(find("bytes-note"), "Nothing measured yet.");
  const codec = page.shown.codec;
  const own = tally.codecs[codec] ?? tally;
  const rows = [
    ["raw pixels", bundle.raw_bytes, false],
    ["JPEG, quality 75", tally.jpeg_bytes_mean, false],
    ["payload", own.payload_bytes_mean, true],
    ["on the wire", own.wire_bytes_mean, true],
  ].filter(([, bytes]) => bytes != null);
  const most = Math.max(...rows.map(([, bytes]) => bytes));
  refill(find("bars"), rows, () => rows.map(([name, bytes, own]) => {
    const fill = make("i");
    fill.style.width = `${(100 * bytes) / most}%`;
    return make("li", own ? { class: "own" } : {}, make("span", {}, name), make("span", { class: "bar" }, fill), make("b", {}, whole(bytes)));
  }));
  const against = ratio(own.payload_bytes_mean, tally.jpeg_bytes_mean);
  text(find("bytes-note"), `means for ${bundle.name} with ${codec}${against ? `; the payload is ${against} a JPEG of the same picture` : ""}; ${encrypted() ? "the wire as the cloud counts it, without TLS’s own framing" : "the wire adds framing and the answer"}`);
}

function paintCharts() {
  const scored = page.points.map((point, x) => ({ ...point, x })).filter((point) => point.similarity);
  const used = [...new Set(scored.map((point) => point.digest))];
  refill(find("key"), [used, namesInUse()], () => used.map((digest) => make("li", {}, swatch(digest), page.bundles.get(digest)?.name ?? digest.slice(0, 8)))
    .concat(used.some((digest) => page.bundles.get(digest)?.mean_picture) ? [make("li", {}, "- - -  the average picture")] : []));
  show(find("chart-empty"), !scored.length);
  show(find("charts"), scored.length > 0);
  const levels = (name) => used.map((digest) => page.bundles.get(digest)?.mean_picture?.[name]).filter((level) => level != null);
  const draw = (name, axis, label) => plot(find(`chart-${name}`), scored.map((point) => ({ ...point, y: point.similarity[name] })), levels(name), look, axis, label);
  pickers.psnr = draw("psnr", { step: 5, least: 15, digits: 0 }, "PSNR of the latest reconstructions");
  pickers.ssim = draw("ssim", { step: 0.2, least: 0.6, digits: 1 }, "SSIM of the latest reconstructions");
}

function readout(event) {
  const find_ = event.currentTarget.id === "chart-psnr" ? pickers.psnr : pickers.ssim;
  const point = find_?.(event.clientX);
  if (point) text(find("readout"), `Frame ${point.id}: PSNR ${fixed(point.similarity.psnr, 1)} dB, SSIM ${fixed(point.similarity.ssim, 3)}, MSE ${fixed(point.similarity.mse, 5)}; ${page.bundles.get(point.digest)?.name}, ${point.codec}`);
}

function paintPairs() {
  const list = find("history");
  refill(list, [page.pairs.map((pair) => pair.id), namesInUse()], () => page.pairs.toReversed().map((pair) => {
    const tile = (address, description, without) => (address ? make("img", { src: address, alt: description }) : make("div", { class: "none" }, without));
    return make("li", isCloudTap(pair.tap) ? { title: "overheard by the curious cloud" } : {}, tile(pair.pictures.original, pair.label ?? "original", "unknown"), tile(pair.pictures.reconstruction, "rebuilt", "not rebuilt"),
      make("p", {}, swatch(pair.digest), pair.similarity ? `${fixed(pair.similarity.psnr, 1)} dB` : "–"));
  }));
  show(find("history-empty"), !page.pairs.length);
}

function paintTable() {
  if (!page.books) return;
  const rows = Object.entries(page.books.bundles);
  const now = current();
  refill(find("table"), [rows, now?.digest], () => rows.map(([name, tally]) => {
    const bundle = bundleNamed(name);
    const cell = (label, value, more) => make("td", { "data-name": label }, make("span", {}, value, more ? make("small", {}, ` ${more}`) : null));
    const missing = tally.frames_skipped + tally.frames_failed + tally.frames_undecodable;
    return make("tr", now && bundle === now ? { class: "now" } : {},
      make("td", { class: "name" }, bundle ? swatch(bundle.digest) : null, name),
      cell("frames", whole(tally.frames_intercepted), missing > 0 ? `${whole(missing)} not rebuilt` : null),
      cell("wire bytes", whole(tally.wire_bytes_mean)),
      cell("payload", whole(tally.payload_bytes_mean), Object.keys(tally.codecs).join(", ")),
      cell("PSNR", tally.psnr_mean == null ? "–" : fixed(tally.psnr_mean, 1), tally.psnr_mean == null ? null : `± ${fixed(tally.psnr_deviation, 1)} dB`),
      cell("SSIM", fixed(tally.ssim_mean, 3)),
      cell("MSE", fixed(tally.mse_mean, 4)),
      cell("answers right", percent(tally.answers_accuracy, 1), tally.answers_labelled ? `of ${whole(tally.answers_labelled)}` : null));
  }));
}

function paintProblems() {
  const books = page.books;
  const lines = [...page.problems];
  for (const [digest, entry] of Object.entries(books?.unknown_bundles ?? {})) lines.push(`${whole(entry.frames_intercepted)} frames of bundle ${digest.slice(0, 12)}…, which the attacker does not have: give it with --bundles.`);
  if (books?.unsettled.frames) lines.push(`${whole(books.unsettled.frames)} frames whose bundle could not be settled.`);
  if (books?.malformed_messages) lines.push(`${whole(books.malformed_messages)} messages that could not be read.`);
  if (books?.page.events_dropped) lines.push(`${whole(books.page.events_dropped)} events lost on the way to slow pages (the figures are not affected).`);
  show(find("problems"), lines.length > 0);
  refill(find("problem-list"), lines, () => lines.map((line) => make("li", {}, line)));
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
