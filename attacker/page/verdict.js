// From measured numbers to plain sentences. Nothing here may claim more than the numbers do.

import { counted, fixed, percent, ratio, whole } from "./format.js";

// What a PSNR means for a small picture, from looking at many: below the first level shapes are guesswork,
// above the last one details survive.
const LEVELS = [
  [27, "the picture, details included"],
  [24, "a good likeness of the picture"],
  [18, "a blurred likeness of the picture"],
  [-Infinity, "only a coarse impression of the picture"],
];
const MARGIN_DB = 1;

/** What the mean PSNR says about the eavesdropper; `level` is what the mean picture reaches without any attack. */
export function likeness(psnr, level) {
  if (level != null && psnr < level + MARGIN_DB) return "about what the average picture would give: next to nothing of this one";
  return LEVELS.find(([least]) => psnr >= least)[1];
}

/** The headline for networks side by side: [{title, psnr, level}], in the order in which they are shown. */
export function headline(sides) {
  const scored = sides.filter((side) => side.psnr != null);
  if (!scored.length) return "";
  const claims = scored.map((side) => likeness(side.psnr, side.level));
  if (scored.length > 1 && new Set(claims).size === 1) return `Through each of them, the eavesdropper gets ${claims[0]}.`;
  const [first, ...others] = scored.map((side) => inside(side.title));
  const rest = others.map((title, place) => `; through ${title}, ${claims[place + 1]}`);
  return `Through ${first} the eavesdropper gets ${claims[0]}${rest.join("")}.`;
}

const inside = (title) => (title === "Ordinary network" ? "the ordinary network" : title);

/** The evidence behind it: [{title, codec, tally, level}]. */
export function evidence(sides) {
  const scored = sides.filter((side) => side.tally?.psnr_mean != null);
  if (!scored.length) return "";
  const both = (write) => [...new Set(scored.map(({ tally }) => write(tally)))].join(" and ");
  const level = scored[0].level;
  const many = both((tally) => whole(tally.frames_scored));
  const parts = [`Over ${many} picture${many === "1" ? "" : "s"}: PSNR ${both((tally) => fixed(tally.psnr_mean, 1))} dB${level != null ? ` (guessing the average picture reaches ${fixed(level, 1)})` : ""}, SSIM ${both((tally) => fixed(tally.ssim_mean, 2))}.`];
  if (scored.length === 2) {
    const [first, second] = scored;
    const size = ratio(second.tally.wire_bytes_mean, first.tally.wire_bytes_mean);
    if (size) parts.push(`A frame through ${inside(second.title)} (${second.codec}) is ${size} one through ${inside(first.title)} (${first.codec}).`);
  }
  return parts.join(" ");
}

/** What overhearing the answers gives away. */
export function secret(bundle, books, hidden) {
  if (bundle?.label_kind !== "identity") return "";
  const heard = books?.answers_overheard ? ` Overheard so far: ${counted(books.answers_overheard, "name")}${books.answers_accuracy != null ? `, ${percent(books.answers_accuracy)} of them right` : ""}.` : "";
  const where = hidden
    ? "TLS keeps it from the wire; the cloud that gives the answer knows it all the same."
    : "No defence of the feature hides it: without TLS, whoever listens learns who was in front of the camera.";
  return `Here the answer itself is the secret: it names a person. ${where}${heard}`;
}
