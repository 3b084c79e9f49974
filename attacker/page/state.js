// What the page knows, and who is who in it.

import { make } from "./format.js";

export const page = {
  bundles: new Map(), books: null, points: [], shown: null, next: null, camera: null, pairs: [],
  held: false, shownAt: 0, pairAt: 0, wireFrameAt: -Infinity, opaqueAt: -Infinity, opaque: new Map(), frameTimes: [],
  cloudFrame: null, ciphertext: null, dirty: true, problems: [],
};

/** Whether the wire was last seen to carry what cannot be read. */
export const encrypted = () => page.opaqueAt > page.wireFrameAt;

/** The bundle of the frame that is shown. */
export const current = () => (page.shown ? page.bundles.get(page.shown.digest) : null);

const isOpen = (bundle) => bundle.defence === "none";

/** Colour and shape of a bundle: warm and round without a defence, cool and square with one. */
export function look(digest) {
  const all = [...page.bundles.values()];
  const bundle = page.bundles.get(digest);
  if (!bundle) return { css: "series-open-2", shape: "open" };
  const used = all.filter((other) => other === bundle || namesInUse().includes(other.name));
  const place = used.filter((other) => isOpen(other) === isOpen(bundle)).indexOf(bundle);
  const shape = isOpen(bundle) ? "open" : "shut";
  return { css: `series-${shape}${place % 2 ? "-2" : ""}`, shape };
}

export const namesInUse = () => Object.keys(page.books?.bundles ?? {});
export const bundleNamed = (name) => [...page.bundles.values()].find((bundle) => bundle.name === name);
export const swatch = (digest) => make("span", { class: `swatch ${look(digest).css} ${look(digest).shape}`, "aria-hidden": "true" });
export const tallyOf = (bundle) => (bundle && page.books ? page.books.bundles[bundle.name] : null);
export const isCloudTap = (name) => page.books?.taps.find((tap) => tap.name === name)?.kind === "cloud";

/** The most measured bundle that does the same task the other way: with a defence, or without one. */
export function otherMeasured(bundle) {
  const task = ({ label_kind, class_count, input }) => JSON.stringify([label_kind, class_count, input]);
  return [...page.bundles.values()]
    .filter((other) => task(other) === task(bundle) && isOpen(other) !== isOpen(bundle) && tallyOf(other)?.psnr_mean != null)
    .sort((a, b) => tallyOf(b).frames_scored - tallyOf(a).frames_scored)[0];
}
