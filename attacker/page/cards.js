// The cards below the pictures: bytes, answers, similarity over time, comparison, problems.

import { plot } from "./chart.js";
import { counted, explain, find, fixed, make, percent, ratio, refill, show, text, whole } from "./format.js";
import { output } from "./outputs.js";
import { bundleNamed, booksOf, encrypted, isCloudTap, look, namesInUse, openFirst, page, shownSides, swatch, tallyOf, titleOf } from "./state.js";
import { secret } from "./verdict.js";

const nearest = {}; // chart name -> what finds the point next to the pointer

export function paintAnswers() {
  const sides = shownSides();
  const hidden = encrypted() && !page.held;
  text(find("answer-title").firstElementChild, hidden ? "The answers the cloud gave" : "The answers it overheard");
  const readable = (side) => !hidden || isCloudTap(side.tap);
  refill(find("answers"), sides.map((side) => [side.digest, side.answer, side.outputs, side.tap, hidden, titleOf(side.digest)]), () => sides.map((side) =>
    make("li", { class: look(side.digest).css }, make("span", { class: "who" }, swatch(side.digest), titleOf(side.digest)), ...said(side, readable(side)))));
  const digest = sides[0]?.digest;
  const line = digest ? secret(page.bundles.get(digest), booksOf(digest), hidden) : "";
  show(find("secret"), Boolean(line));
  text(find("secret"), line);
}

/** One network's answer: its best class where it ranks classes, and what its other outputs say. */
function said(side, readable) {
  const answer = readable ? side.answer : null;
  const outputs = readable ? side.outputs ?? [] : [];
  const nothing = !readable ? "not readable" : !answer ? "nothing yet" : side.outputs === null ? "not what this network says" : "no class and no tensor";
  if (answer?.class == null) return outputs.length ? outputs.map(output) : [make("span", { class: "guess" }, make("strong", {}, nothing))];
  const mark = answer.correct == null ? null : make("span", { class: answer.correct ? "right" : "wrong" }, answer.correct ? "✓ right" : `✗ it was ${page.shown.label}`);
  const fill = make("i");
  fill.style.width = `${100 * answer.score}%`;
  return [make("span", { class: "guess" }, make("strong", {}, answer.class), mark), make("span", { class: "meter" }, fill), make("span", { class: "score" }, percent(answer.score, 1)), ...outputs.map(output)];
}

export function paintBytes() {
  const sides = shownSides();
  const measured = sides.map((side) => ({ side, tally: tallyOf(side) })).filter(({ tally }) => tally);
  if (!measured.length) return text(find("bytes-note"), "Nothing measured yet.");
  const first = page.bundles.get(sides[0].digest);
  const jpeg = booksOf(sides[0].digest)?.jpeg_bytes_mean;
  const rows = [
    ["raw", "pixels", first?.raw_bytes, null], ["jpeg", "photo as JPEG", jpeg, null],
    ...measured.map(({ side, tally }) => ["wire", `${titleOf(side.digest)}, ${side.codec}`, tally.wire_bytes_mean, side.digest]),
  ].filter(([, , bytes]) => bytes != null);
  const most = Math.max(...rows.map(([, , bytes]) => bytes));
  refill(find("bars"), rows, () => rows.map(([key, name, bytes, digest]) => {
    const fill = make("i");
    fill.style.width = `${(100 * bytes) / most}%`;
    return make("li", digest ? { class: `own ${look(digest).css}` } : {}, explain(key, name), make("span", { class: "bar" }, fill), make("b", {}, whole(bytes)));
  }));
  const against = measured.map(({ side, tally }) => [titleOf(side.digest), ratio(tally.wire_bytes_mean, jpeg)]).filter(([, words]) => words);
  text(find("bytes-note"), `${against.map(([name, words], place) => (place ? `${name}: ${words} it` : `${name}: ${words} a JPEG of the same picture`)).join("; ")}${against.length ? ". " : ""}${encrypted() ? "The wire as the cloud counts it, without TLS’s own framing." : "Means; the wire includes framing and the answer."}`);
}

export function paintCharts() {
  const order = new Map(page.points.map((point) => [point.sequence, 0]));
  [...order.keys()].forEach((sequence, place) => order.set(sequence, place));
  const scored = page.points.filter((point) => point.similarity).map((point) => ({ ...point, x: order.get(point.sequence) }));
  const used = [...new Set(scored.map((point) => point.digest))].sort(openFirst);
  refill(find("key"), [used, namesInUse()], () => used.map((digest) => make("li", {}, swatch(digest), titleOf(digest)))
    .concat(used.some((digest) => page.bundles.get(digest)?.mean_picture) ? [make("li", {}, "- - -  guessing the average picture")] : []));
  show(find("chart-empty"), !scored.length);
  show(find("charts"), scored.length > 0);
  const levels = (name) => used.map((digest) => page.bundles.get(digest)?.mean_picture?.[name]).filter((level) => level != null);
  const draw = (name, axis, label) => plot(find(`chart-${name}`), scored.map((point) => ({ ...point, y: point.similarity[name] })), levels(name), look, axis, label);
  nearest.psnr = draw("psnr", { step: 5, least: 15, digits: 0 }, "PSNR of the latest reconstructions");
  nearest.ssim = draw("ssim", { step: 0.2, least: 0.6, digits: 1 }, "SSIM of the latest reconstructions");
}

export function readout(event) {
  const at = event.currentTarget.id === "chart-psnr" ? nearest.psnr : nearest.ssim;
  const point = at?.(event.clientX);
  if (!point) return;
  const same = page.points.filter((each) => each.sequence === point.sequence && each.similarity).sort((a, b) => openFirst(a.digest, b.digest));
  const told = same.map((each) => `${titleOf(each.digest)} (${each.codec}) PSNR ${fixed(each.similarity.psnr, 1)} dB, SSIM ${fixed(each.similarity.ssim, 3)}`);
  text(find("readout"), `Picture ${point.sequence}: ${told.join("; ")}`);
}

export function paintTable() {
  if (!page.books) return;
  const playing = new Set(shownSides().map((side) => `${side.bundle} ${side.codec} ${side.tap}`));
  const digest = ([name]) => bundleNamed(name)?.digest;
  const rows = Object.entries(page.books.bundles).sort((a, b) => openFirst(digest(a), digest(b))).flatMap(([name, books]) =>
    Object.entries(books.taps).flatMap(([tap, codecs]) => Object.entries(codecs).map(([codec, tally]) => ({ name, tap, codec, tally }))));
  refill(find("table"), [rows, [...playing], namesInUse()], () => rows.map(({ name, tap, codec, tally }) => {
    const bundle = bundleNamed(name);
    const cell = (label, value) => make("td", { "data-name": label }, make("span", {}, value));
    return make("tr", playing.has(`${name} ${codec} ${tap}`) ? { class: "now" } : {},
      make("td", { class: "name" }, bundle ? swatch(bundle.digest) : null, bundle ? explain(`network ${bundle.digest}`, titleOf(bundle.digest)) : name),
      make("td", { "data-name": "codec" }, bundle ? explain(`codec ${bundle.digest} ${codec}`, codec) : codec),
      cell("heard by", isCloudTap(tap) ? "the cloud" : "the wire"),
      cell("frames", whole(tally.frames)),
      cell("wire bytes", whole(tally.wire_bytes_mean)),
      cell("payload", whole(tally.payload_bytes_mean)),
      cell("PSNR", tally.psnr_mean == null ? "–" : `${fixed(tally.psnr_mean, 1)} dB`),
      cell("SSIM", fixed(tally.ssim_mean, 3)));
  }));
  const lost = Object.values(page.books.bundles).reduce((sum, books) => sum + books.frames_skipped + books.frames_failed + books.frames_undecodable, 0);
  text(find("table-note"), `Means per frame or picture; nothing is averaged over two codecs.${lost ? ` Overheard but not rebuilt: ${counted(lost, "frame")}.` : ""}`);
}

export function paintProblems() {
  const books = page.books;
  const lines = [...page.problems];
  for (const [digest, entry] of Object.entries(books?.unknown_bundles ?? {})) lines.push(`${counted(entry.frames_intercepted, "frame")} of bundle ${digest.slice(0, 12)}…, which the attacker does not have: give it with --bundles.`);
  if (books?.unsettled.frames) lines.push(`${counted(books.unsettled.frames, "frame")} whose bundle could not be settled.`);
  const skipped = page.conductor?.skipped;
  if (skipped?.pictures) lines.push(`${counted(skipped.pictures, "picture")} could not be played and ${skipped.pictures === 1 ? "is" : "are"} skipped: ${skipped.reasons.join("; ")}`);
  if (books?.malformed_messages) lines.push(`${counted(books.malformed_messages, "message")} that could not be read.`);
  show(find("problems"), lines.length > 0);
  refill(find("problem-list"), lines, () => lines.map((line) => make("li", {}, line)));
}
