// The cards below the pictures: answer, bytes, similarity over time, pairs, comparison, problems.

import { plot } from "./chart.js";
import { find, fixed, make, percent, ratio, refill, show, text, whole } from "./format.js";
import { bundleNamed, current, encrypted, isCloudTap, look, namesInUse, page, swatch, tallyOf } from "./state.js";
import { secret } from "./verdict.js";

const nearest = {}; // chart name -> what finds the point next to the pointer

export function paintAnswer() {
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

export function paintBytes() {
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

export function paintCharts() {
  const scored = page.points.map((point, x) => ({ ...point, x })).filter((point) => point.similarity);
  const used = [...new Set(scored.map((point) => point.digest))];
  refill(find("key"), [used, namesInUse()], () => used.map((digest) => make("li", {}, swatch(digest), page.bundles.get(digest)?.name ?? digest.slice(0, 8)))
    .concat(used.some((digest) => page.bundles.get(digest)?.mean_picture) ? [make("li", {}, "- - -  the average picture")] : []));
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
  if (point) text(find("readout"), `Frame ${point.id}: PSNR ${fixed(point.similarity.psnr, 1)} dB, SSIM ${fixed(point.similarity.ssim, 3)}, MSE ${fixed(point.similarity.mse, 5)}; ${page.bundles.get(point.digest)?.name}, ${point.codec}`);
}

export function paintPairs() {
  const list = find("history");
  refill(list, [page.pairs.map((pair) => pair.id), namesInUse()], () => page.pairs.toReversed().map((pair) => {
    const tile = (address, description, without) => (address ? make("img", { src: address, alt: description }) : make("div", { class: "none" }, without));
    return make("li", isCloudTap(pair.tap) ? { title: "overheard by the curious cloud" } : {}, tile(pair.pictures.original, pair.label ?? "original", "unknown"), tile(pair.pictures.reconstruction, "rebuilt", "not rebuilt"),
      make("p", {}, swatch(pair.digest), pair.similarity ? `${fixed(pair.similarity.psnr, 1)} dB` : "–"));
  }));
  show(find("history-empty"), !page.pairs.length);
}

export function paintTable() {
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

export function paintProblems() {
  const books = page.books;
  const lines = [...page.problems];
  for (const [digest, entry] of Object.entries(books?.unknown_bundles ?? {})) lines.push(`${whole(entry.frames_intercepted)} frames of bundle ${digest.slice(0, 12)}…, which the attacker does not have: give it with --bundles.`);
  if (books?.unsettled.frames) lines.push(`${whole(books.unsettled.frames)} frames whose bundle could not be settled.`);
  if (books?.malformed_messages) lines.push(`${whole(books.malformed_messages)} messages that could not be read.`);
  if (books?.page.events_dropped) lines.push(`${whole(books.page.events_dropped)} events lost on the way to slow pages (the figures are not affected).`);
  show(find("problems"), lines.length > 0);
  refill(find("problem-list"), lines, () => lines.map((line) => make("li", {}, line)));
}
