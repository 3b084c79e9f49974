// From measured numbers to plain sentences. Nothing here may claim more than the numbers do.

import { fixed, percent, whole } from "./format.js";

// What a PSNR means for a small picture, from looking at many: below the first level shapes are guesswork,
// above the last one details survive.
const LEVELS = [
  [27, "gets the picture, details included"],
  [24, "gets a good likeness of the picture"],
  [18, "gets a blurred likeness of the picture"],
  [-Infinity, "gets only a coarse impression of the picture"],
];
const MARGIN_DB = 1;

/** What the mean PSNR says about the eavesdropper; `level` is what the mean picture reaches without any attack. */
export function likeness(psnr, level) {
  if (level != null && psnr < level + MARGIN_DB) return "gets about as close as the average picture would: next to nothing of this one";
  return LEVELS.find(([least]) => psnr >= least)[1];
}

/** The evidence behind the headline: means over frames, the other network beside it, and what knowing nothing reaches. */
export function evidence(tally, level, other, otherName) {
  const parts = [`Over ${whole(tally.frames_scored)} pictures: PSNR ${fixed(tally.psnr_mean, 1)} dB, SSIM ${fixed(tally.ssim_mean, 2)} on average${comparison(tally, other, otherName)}.`];
  if (level != null) parts.push(`Guessing the average picture every time would reach ${fixed(level, 1)} dB.`);
  return parts.join(" ");
}

/** How that stands against another network that was measured, if there is one. */
export function comparison(tally, other, otherName) {
  if (!other || other.psnr_mean == null) return "";
  const gap = tally.psnr_mean - other.psnr_mean;
  const standing = Math.abs(gap) < 0.5 ? "no different from" : `${fixed(Math.abs(gap), 1)} dB ${gap > 0 ? "more" : "less"} than`;
  const traffic = bytesAgainst(tally.wire_bytes_mean, other.wire_bytes_mean);
  return `, ${standing} through ${otherName}${traffic ? `, whose frames take ${traffic}` : ""}`;
}

function bytesAgainst(own, theirs) {
  if (!own || !theirs) return "";
  const times = theirs / own;
  if (times >= 1.05) return `${times.toFixed(1)} times as many bytes`;
  return times > 0.95 ? "about as many bytes" : `${(1 / times).toFixed(1)} times fewer bytes`;
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
