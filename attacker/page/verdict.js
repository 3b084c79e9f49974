// From measured numbers to plain sentences. Nothing here may claim more than the numbers do.

import { fixed, percent, ratio, whole } from "./format.js";

// What a PSNR means for a small picture, from looking at many: below the first level shapes are guesswork,
// above the last one details survive.
const LEVELS = [
  [27, "gets the picture, details included"],
  [22, "gets a good likeness of the picture"],
  [18, "gets a blurred likeness of the picture"],
  [-Infinity, "gets only a coarse impression of the picture"],
];
const MARGIN_DB = 1;

/** What the mean PSNR says about the eavesdropper; `level` is what the mean picture reaches without any attack. */
export function likeness(psnr, level) {
  if (level != null && psnr < level + MARGIN_DB) return "gets about as close as the average picture would: next to nothing of this one";
  return LEVELS.find(([least]) => psnr >= least)[1];
}

/** The evidence behind the headline: means over frames, and what knowing nothing would reach. */
export function evidence(tally, bundle, level) {
  const parts = [
    `Over ${whole(tally.frames_scored)} pictures sent through ${bundle.name}: PSNR ${fixed(tally.psnr_mean, 1)} dB, SSIM ${fixed(tally.ssim_mean, 2)} on average.`,
  ];
  if (level != null) parts.push(`Guessing the average picture every time would reach ${fixed(level, 1)} dB.`);
  return parts.join(" ");
}

/** One sentence that sets the current bundle against the other one that was measured, if there is one. */
export function comparison(tally, other, otherName) {
  if (!other || other.psnr_mean == null || tally.psnr_mean == null) return "";
  const gap = tally.psnr_mean - other.psnr_mean;
  const bytes = ratio(tally.wire_bytes_mean, other.wire_bytes_mean);
  const nearer = Math.abs(gap) < 0.5 ? "as far from the originals as" : `${fixed(Math.abs(gap), 1)} dB ${gap > 0 ? "closer to" : "further from"} the originals than`;
  const traffic = bytes ? `, with ${bytes === "as much as" ? "as many bytes on the wire" : `${bytes.replace(" than", "")} ${bytes.endsWith("times") ? "the bytes" : "bytes"} on the wire`}` : "";
  return ` That is ${nearer} ${otherName}${traffic}.`;
}

/** What overhearing the answers gives away. */
export function secret(bundle, tally, encrypted) {
  if (!bundle || bundle.label_kind !== "identity") return "";
  const heard = tally && tally.answers_overheard ? `Overheard so far: ${whole(tally.answers_overheard)} names` : "";
  const right = tally && tally.answers_accuracy != null ? `, ${percent(tally.answers_accuracy)} of them right` : "";
  const where = encrypted
    ? "TLS keeps it from the wire; the cloud that gives the answer knows it all the same."
    : "No defence of the feature hides it: without TLS, whoever listens learns who was in front of the camera.";
  return `Here the answer itself is the secret: it names a person. ${where}${heard ? ` ${heard}${right}.` : ""}`;
}
