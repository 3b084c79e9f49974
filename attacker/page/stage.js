// The picture once, and for each network what crosses the wire of it and what the eavesdropper rebuilds.

import { plotRecords } from "./chart.js";
import { draw, explain, find, fixed, make, picture, refill, show, size, text, whole } from "./format.js";
import { boxesOf, drawBoxes } from "./outputs.js";
import { encrypted, isCloudTap, look, page, previewOff, shownSides, swatch, titleOf } from "./state.js";

const tappedLeftovers = () => page.books?.taps.filter((tap) => tap.leftovers && tap.kind !== "cloud").map((tap) => tap.leftovers).sort((a, b) => b.latest_s - a.latest_s)[0];

export function paintStage() {
  const hidden = encrypted() && !page.held;
  document.documentElement.classList.toggle("encrypted", hidden);
  const sides = shownSides();
  paintCamera(hidden ? [] : sides);
  const lanes = find("lanes");
  refill(lanes, sides.map((side) => [side.digest, titleOf(side.digest), look(side.digest)]), () => sides.map(lane));
  find("stage").style.setProperty("--lanes", Math.max(1, sides.length));
  const leftovers = hidden ? tappedLeftovers() : null;
  sides.forEach((side, place) => {
    const node = lanes.children[place];
    if (hidden) paintCiphertext(node, place === 0, leftovers);
    else paintSide(node, side);
  });
  paintCloud(hidden, sides);
}

/** One network's card, empty; painted by `paintSide`. */
function lane(side) {
  const bundle = page.bundles.get(side.digest);
  const panel = (name, what, key, ...inside) => make("figure", { class: `panel ${name}` },
    make("figcaption", {}, explain(key, what)), make("div", { class: "frame" }, ...inside, make("p", { class: "empty" }, "")), explain("", ""));
  return make("article", { class: `lane ${look(side.digest).css}`, "data-bundle": bundle?.name ?? side.digest },
    make("h3", {}, swatch(side.digest), explain(`network ${side.digest}`, titleOf(side.digest))),
    make("p", { class: "says note" }, bundle?.says ?? ""),
    make("div", { class: "tiles" }, panel("wire", "Crosses the wire", "feature", make("div", { class: "maps" })),
      panel("rebuilt", "Eavesdropper rebuilds", "rebuilt", make("img", { alt: "", hidden: true }), draw("svg", { class: "boxes", "aria-hidden": "true", hidden: "" }), draw("svg", { class: "records plot", role: "img", hidden: "" }))));
}

const parts = (node, name) => {
  const panel = node.querySelector(`.${name}`);
  return { panel, image: panel.querySelector("img"), empty: panel.querySelector(".empty"), note: panel.lastElementChild };
};

/** What crosses the wire as pictures, [{picture, name?, shape?}]: several tensors stand apart, each under its name. */
function fillMaps({ panel, empty }, maps, description, without) {
  const node = panel.querySelector(".maps");
  node.classList.toggle("several", maps.length > 1);
  refill(node, maps.map(({ name, shape }) => [name, shape]), () => maps.map(({ name, shape }) => make("figure", {},
    maps.length > 1 ? make("figcaption", { title: name }, make("b", {}, name), ` ${shape.join("×")}`) : null, make("img", { class: "sharp", alt: "" }))));
  maps.forEach((each, place) => picture(node.children[place].lastElementChild, each.picture, maps.length > 1 ? `${description}: ${each.name}` : description));
  show(node, maps.length > 0);
  show(empty, !maps.length);
  text(empty, without);
}

/** The figures below a picture, and what they mean. */
function note({ note: button }, key, figure, more, second) {
  button.dataset.explain = key;
  refill(button, [figure, more, second], () => [make("b", {}, figure), more, make("br"), second]);
}

function fill({ image, empty }, address, description, without) {
  picture(image, address, description);
  show(empty, !address);
  text(empty, without);
}

function paintSide(node, side) {
  const bundle = page.bundles.get(side.digest);
  show(node.querySelector(".plot"), false);
  const wire = parts(node, "wire");
  fillMaps(wire, side.pictures.features ?? [], "The numbers that cross the wire, as small maps", "Nothing yet.");
  note(wire, `payload|codec ${side.digest} ${side.codec}|jpeg`, `${whole(side.payload_bytes)} bytes`, ` as ${side.codec}`, side.jpeg_bytes ? `the photo as JPEG: ${whole(side.jpeg_bytes)}` : "");
  const rebuilt = parts(node, "rebuilt");
  const none = bundle && !bundle.inverter ? `No inverter for ${bundle.name}: its features are visible, but nothing is rebuilt here.` : page.ahead ? "Nothing yet." : "Not rebuilt.";
  fill(rebuilt, side.pictures.reconstruction, "What the eavesdropper rebuilds", none);
  drawBoxes(node.querySelector(".boxes"), bundle?.input, side.pictures.reconstruction ? [{ css: look(side.digest).css, boxes: boxesOf(side) }] : []);
  const near = side.similarity;
  if (near) note(rebuilt, "psnr|ssim", `PSNR ${fixed(near.psnr, 1)} dB`, "", `SSIM ${fixed(near.ssim, 2)}`);
  else note(rebuilt, "rebuilt", "not scored", "", side.pictures.reconstruction ? "the original is not known" : "");
}

/** Records are shown once, for all networks together: none is one network's frame. */
function paintCiphertext(node, isFirst, leftovers) {
  const record = isFirst ? page.ciphertext : null;
  const wire = parts(node, "wire");
  fillMaps(wire, record ? [record] : [], "An encrypted record, byte by byte as grey pixels", isFirst ? "Encrypted." : "Encrypted too: the records of all networks are shown together.");
  note(wire, "tls", "ciphertext", record ? `, one record of ${whole(record.byte_count)} bytes` : "", record ? `${record.hex} …` : "");
  const rebuilt = parts(node, "rebuilt");
  const records = isFirst ? leftovers : null;
  fill(rebuilt, null, "", records ? "" : "Nothing to rebuild.");
  drawBoxes(node.querySelector(".boxes"), null, []);
  const plot = node.querySelector(".plot");
  show(plot, Boolean(records));
  if (records) plotRecords(plot, records);
  note(rebuilt, "tls", "no picture", "", records ? `sizes and times of all records, ${size(records.total_bytes)}` : "");
}

function paintCamera(sides) {
  const shown = page.ahead ?? page.shown;
  picture(find("original"), shown?.original, shown?.label ? `The network’s input: ${shown.label}` : "The network’s input");
  show(find("original-empty"), !shown?.original);
  text(find("original-empty"), previewOff() ? "Unknown: no preview of the camera was given, and the wire does not carry it." : page.books?.preview.detail || "No picture yet.");
  text(find("original-note"), shown?.label ?? "");
  drawBoxes(find("original-boxes"), page.bundles.get(sides[0]?.digest)?.input, shown?.original ? sides.map((side) => ({ css: look(side.digest).css, boxes: boxesOf(side) })) : []);
}

function paintCloud(hidden, sides) {
  const seen = hidden ? sides.filter((side) => isCloudTap(side.tap)) : [];
  show(find("cloud"), seen.length > 0);
  refill(find("cloud-sides"), seen.map((side) => [side.id]), () => seen.map((side) => make("figure", { class: look(side.digest).css },
    make("figcaption", {}, swatch(side.digest), titleOf(side.digest)),
    make("div", { class: "frame" }, side.pictures.reconstruction ? make("img", { src: side.pictures.reconstruction, alt: "What the cloud could rebuild" }) : make("p", { class: "empty" }, "Not rebuilt.")),
    make("p", { class: "note" }, `${side.answer?.class != null ? `It answered “${side.answer.class}”. ` : ""}${side.similarity ? `PSNR ${fixed(side.similarity.psnr, 1)} dB` : ""}`))));
}
