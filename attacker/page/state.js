// What the page knows, and who is who in it.

import { make } from "./format.js";

export const page = {
  session: "", number: 0, connected: false, dirty: true,
  bundles: new Map(), books: null, conductor: null, points: [], problems: [], camera: null, ciphertext: null,
  newest: null, shown: null, ahead: null, shownAt: -Infinity, held: false,
  pairs: [], wanted: [], away: new Set(),
  frameCounts: [], movedAt: -Infinity, wireFrameAt: -Infinity, opaqueAt: -Infinity, opaque: new Map(),
};

/** Whether the wire was last seen to carry what cannot be read. */
export const encrypted = () => page.opaqueAt > page.wireFrameAt;

const isOpen = (bundle) => bundle?.defence === "none";

/** What people call a network; two of one title are told apart by their bundles' names. */
export function titleOf(digest) {
  const bundle = page.bundles.get(digest);
  if (!bundle) return digest.slice(0, 8);
  const twins = [...page.bundles.values()].filter((other) => other.title === bundle.title && namesInUse().includes(other.name));
  return twins.length > 1 && bundle.title !== bundle.name ? `${bundle.title} (${bundle.name})` : bundle.title;
}

/** Puts networks without a defence first, by digest. */
export const openFirst = (one, other) => isOpen(page.bundles.get(other)) - isOpen(page.bundles.get(one));

const CAMERA_MS = 3000;

/** What the phone saw last, where nothing that was overheard since goes with it; else null. */
export function aheadOfTheWire(now) {
  const { camera, shown } = page;
  if (!camera || page.held || now - camera.at >= CAMERA_MS || camera.sequence === shown?.sequence) return null;
  return !shown || camera.at - page.shownAt > CAMERA_MS ? camera : null;
}

const unheard = (side) => ({ ...side, pictures: {}, answer: null, outputs: null, similarity: null, payload_bytes: null, jpeg_bytes: null });

/** What became of the shown picture in each network, the one without a defence first; nothing of another picture. */
export const shownSides = () => (page.shown?.sides ?? []).map((side) => (page.ahead ? unheard(side) : side));

/** Colour and shape of a bundle: warm and round without a defence, cool and square with one. */
export function look(digest) {
  const bundle = page.bundles.get(digest);
  if (!bundle) return { css: "series-open-2", shape: "open" };
  const used = [...page.bundles.values()].filter((other) => other === bundle || namesInUse().includes(other.name));
  const place = used.filter((other) => isOpen(other) === isOpen(bundle)).indexOf(bundle);
  const shape = isOpen(bundle) ? "open" : "shut";
  return { css: `series-${shape}${place % 2 ? "-2" : ""}`, shape };
}

export const namesInUse = () => Object.keys(page.books?.bundles ?? {});
export const bundleNamed = (name) => [...page.bundles.values()].find((bundle) => bundle.name === name);
export const swatch = (digest) => make("span", { class: `swatch ${look(digest).css} ${look(digest).shape}`, "aria-hidden": "true" });
export const isCloudTap = (name) => page.books?.taps.find((tap) => tap.name === name)?.kind === "cloud";
export const previewOff = () => page.books?.preview.phase === "off";

/** The books of one network, all codecs and taps together. */
export const booksOf = (digest) => page.books?.bundles[page.bundles.get(digest)?.name] ?? null;

/** The books of what a frame is one of: its network, its codec, and the tap that could read it. */
export const tallyOf = (side) => (side ? booksOf(side.digest)?.taps[side.tap]?.[side.codec] ?? null : null);
