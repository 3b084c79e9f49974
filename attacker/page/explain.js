// What a word or a figure means: on hover, on focus, and on touch.

import { find, text } from "./format.js";
import { page } from "./state.js";

const WORDS = {
  psnr: "PSNR says in decibels how close the rebuilt picture comes to the original, pixel by pixel. Above about 27 details survive, below about 18 it is a coarse impression. 6 dB more is half the error.",
  ssim: "SSIM compares structures such as edges and shading, as eyes do. 1 is an identical picture, 0 has nothing in common.",
  wire: "Everything that crosses the network for one picture, there and back: the payload, its framing, and the answer. Bars beside it show what sending the picture itself would take.",
  payload: "The bytes that stand for the picture: what the phone’s half of the network computed, written by the codec.",
  codec: "How the numbers are written as bytes. Fewer bytes round more; rounding also takes something from the eavesdropper.",
  heard: "Who could read it: whoever listens on the wire, or, where the wire is encrypted, only the cloud itself.",
  frames: "Pictures that were overheard, each counted once.",
  feature: "The numbers that are sent instead of the photo, as small maps side by side: zero is dark, far from zero is bright, warm above it and cool below. Each map is one filter’s view of the picture.",
  rebuilt: "What a network trained on other pictures makes of the numbers on the wire. It never saw this picture.",
  boxes: "Where the network found something, drawn on the picture and on what was rebuilt. Which numbers are boxes is told from the output’s name and shape; whether they are corners or centres, pixels or fractions, from the numbers.",
  embedding: "A vector that stands for what the picture shows: like pictures have like directions. Whoever overhears it can compare it with photos of his own; here these are the pictures of this session, which the phone hands out for this demonstration. Cosine similarity: 1 is the same direction, 0 has nothing in common.",
  tensor: "An output that is no list of classes: its smallest and largest number, and the first ones.",
  answer: "The cloud’s answer travels back over the same wire. Whoever can read the wire reads the answer too.",
  tls: "With TLS the wire carries ciphertext: sizes and times of records are what is left to see. A record is no frame: a frame may take several, and the protocol has small ones of its own. The cloud itself reads everything all the same.",
  end: "Kills the process, as a power cut would. Watch what happens: the phone keeps its pictures and sends them again, and nothing is answered twice.",
  jpeg: "What the same picture takes as a JPEG file of quality 75: the price of sending the photo itself.",
  raw: "The picture’s pixels, three bytes each, not compressed.",
};

/** The text for keys: words above, `codec DIGEST NAME`, or `network DIGEST`, with | between them. */
const meaning = (keys) => keys.split("|").map(meaningOf).join(" ");

function meaningOf(key) {
  const [kind, digest, name] = key.split(" ");
  const bundle = page.bundles.get(digest);
  if (kind === "codec" && name) {
    const codec = bundle?.codecs.find((each) => each.name === name);
    return codec ? `${name}: ${codec.says}` : WORDS.codec;
  }
  if (kind === "network" && bundle) {
    return `${bundle.says} Bundle ${bundle.name}, ${bundle.architecture}, cut so that ${bundle.tensors.map((tensor) => `${tensor.name} (${tensor.shape.join(" × ")})`).join(", ")} ${bundle.tensors.length > 1 ? "cross" : "crosses"} the wire.`;
  }
  return WORDS[kind] ?? "";
}

let owner = null;
let pointer = [0, 0];

function open(node) {
  const words = meaning(node.dataset.explain);
  if (!words) return;
  owner?.removeAttribute("aria-describedby");
  owner = node;
  const tip = find("tip");
  text(tip, words);
  tip.hidden = false;
  node.setAttribute("aria-describedby", "tip");
  place();
}

function place() {
  const tip = find("tip");
  const at = owner.getBoundingClientRect();
  const own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left), document.documentElement.clientWidth - own.width - 8);
  const below = at.bottom + 8 + own.height < innerHeight;
  tip.style.left = `${left}px`;
  tip.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - own.height - 8)}px`;
}

function close() {
  owner?.removeAttribute("aria-describedby");
  owner = null;
  find("tip").hidden = true;
}

const explained = (event) => (event.target.closest ? event.target.closest("[data-explain]") : null);

export function begin() {
  document.addEventListener("pointermove", (event) => { pointer = [event.clientX, event.clientY]; }, { passive: true });
  document.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse" && explained(event)) open(explained(event)); });
  document.addEventListener("pointerout", (event) => { if (event.pointerType === "mouse" && explained(event) === owner && owner && !owner.contains(event.relatedTarget) && document.activeElement !== owner) close(); });
  document.addEventListener("focusin", (event) => { if (explained(event)) open(explained(event)); else close(); });
  document.addEventListener("click", (event) => { if (explained(event)) open(explained(event)); else close(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  // What is focused by keyboard is scrolled into view first.
  addEventListener("scroll", () => { if (owner) place(); }, { passive: true });
}

/** Called after repainting: a tip whose owner was painted anew stays, one whose owner has gone goes too. */
export function check() {
  if (!owner || owner.isConnected) return;
  const under = document.elementFromPoint(...pointer)?.closest("[data-explain]");
  if (under?.dataset.explain === owner.dataset.explain) open(under);
  else close();
}
