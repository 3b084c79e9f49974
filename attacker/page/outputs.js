// What an answer says beside a class: boxes on the picture, an embedding's neighbours, a tensor's figures.

import { counted, draw, explain, fixed, make } from "./format.js";

/** The boxes of one network's answer: [{at: [left, top, right, bottom] as shares of the picture, score, kind}]. */
export const boxesOf = (side) => (side.outputs ?? []).flatMap((output) => output.boxes ?? []);

/** Draws boxes into an SVG that lies on a picture of `input` [height, width]: `groups` are [{css, boxes}]. */
export function drawBoxes(svg, input, groups) {
  const [height, width] = input ?? [1, 1];
  const mark = JSON.stringify([input, groups]);
  if (svg.dataset.mark === mark) return;
  svg.dataset.mark = mark;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const drawn = groups.flatMap(({ css, boxes }) => boxes.map(({ at: [left, top, right, bottom], score, kind }) => {
    const place = { class: css, stroke: "currentColor", x: left * width, y: top * height, width: (right - left) * width, height: (bottom - top) * height };
    const rect = draw("rect", place);
    rect.append(draw("title", {}, `${kind == null ? "" : `class ${kind}, `}score ${fixed(score, 2)}`));
    return rect;
  }));
  svg.replaceChildren(...drawn);
  svg.toggleAttribute("hidden", !drawn.length);
}

const shape = (output) => (output.shape.length ? output.shape.join(" × ") : "one number");

const SAYS = {
  boxes: ({ boxes }) => [boxes.length ? make("p", { class: "note" }, `${counted(boxes.length, "box").replace("boxs", "boxes")} on the picture, scores ${boxes.slice(0, 6).map(({ score }) => fixed(score, 2)).join(", ")}${boxes.length > 6 ? ", …" : ""}`) : make("p", { class: "note" }, "No box scores above 0.30.")],
  embedding: ({ known, nearest }) => (nearest.length ? [
    make("p", { class: "note" }, `nearest of ${counted(known, "other picture")} seen so far, by cosine similarity`),
    make("ol", { class: "nearest" }, ...nearest.map(({ picture, similarity, label }) => make("li", {}, make("img", { src: picture, alt: label ? `A known picture: ${label}` : "A known picture" }), make("b", {}, fixed(similarity, 2)), label ? make("span", {}, label) : null))),
  ] : [make("p", { class: "note" }, "No other picture is known to compare it with.")]),
  tensor: ({ range, first, picture, shape: axes }) => [
    make("p", { class: "note" }, `${range ? `${range[0]} to ${range[1]}` : "no number"}${first.length ? `: ${first.map((value) => value ?? "–").join(", ")}${axes.reduce((size, axis) => size * axis, 1) > first.length ? ", …" : ""}` : ""}`),
    picture ? make("img", { class: "heat sharp", src: picture, alt: "The tensor as maps" }) : null,
  ],
};

/** One output of an answer. */
export const output = (told) => make("div", { class: `output ${told.kind}` },
  make("h4", {}, explain(told.kind, told.name), make("span", { class: "note" }, shape(told))), ...SAYS[told.kind](told));
