// A line chart in SVG: one trace per network, a dashed line at the level that the mean picture reaches.

import { draw, fixed } from "./format.js";

const PAD = { left: 34, right: 8, top: 8, bottom: 18 };
const GAP = 30; // a trace is broken where a network did not play for so many pictures

/** Bounds that hold the values and the levels, rounded to `step`, at least `least` wide. */
export function bounds(values, levels, step, least) {
  const all = values.concat(levels);
  if (!all.length) return [0, least];
  let low = Math.floor(Math.min(...all) / step) * step;
  let high = Math.ceil(Math.max(...all) / step) * step;
  while (high - low < least) high += step;
  return [low, high];
}

/** Runs of points of one network and codec, unbroken: [{digest, points}]. */
export function runs(points) {
  const found = [];
  const open = new Map();
  for (const point of points) {
    const kind = `${point.digest} ${point.codec}`;
    const last = open.get(kind);
    if (last && point.x - last.points.at(-1).x <= GAP) {
      last.points.push(point);
    } else {
      open.set(kind, { digest: point.digest, points: [point] });
      found.push(open.get(kind));
    }
  }
  return found;
}

/**
 * Draws into `svg`. `points`: [{x, y, digest}], `levels`: [y], `series(digest)` -> {css, shape},
 * `axis`: {step, least, digits, low?, high?}. Returns what finds the point nearest to a client x.
 */
export function plot(svg, points, levels, series, axis, label) {
  const { width, height } = svg.getBoundingClientRect();
  if (!width) return () => null;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-label", label);
  const [low, high] = bounds(points.map((point) => point.y), levels, axis.step, axis.least);
  const first = points.length ? points[0].x : 0;
  const span = Math.max(points.length ? points.at(-1).x - first : 1, 30);
  const across = (x) => PAD.left + ((x - first) / span) * (width - PAD.left - PAD.right);
  const up = (y) => height - PAD.bottom - ((y - low) / (high - low)) * (height - PAD.top - PAD.bottom);
  const parts = gridlines(low, high, axis, up, width);
  for (const y of new Set(levels)) {
    parts.push(draw("line", { class: "level", x1: PAD.left, x2: width - PAD.right, y1: up(y), y2: up(y) }));
  }
  for (const run of runs(points)) parts.push(...trace(run, across, up, series(run.digest)));
  svg.replaceChildren(...parts);
  return (clientX) => nearest(points, clientX - svg.getBoundingClientRect().left, across);
}

function gridlines(low, high, axis, up, width) {
  const lines = [];
  const steps = Math.round((high - low) / axis.step);
  const stride = Math.max(1, Math.ceil(steps / 4));
  for (let i = 0; i <= steps; i += stride) {
    const y = low + i * axis.step;
    lines.push(draw("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: up(y), y2: up(y) }));
    lines.push(draw("text", { x: PAD.left - 6, y: up(y) + 4, "text-anchor": "end" }, fixed(y, axis.digits)));
  }
  return lines;
}

function trace(run, across, up, look) {
  const line = run.points.map((point) => `${across(point.x).toFixed(1)},${up(point.y).toFixed(1)}`).join(" ");
  const end = run.points.at(-1);
  const [x, y] = [across(end.x), up(end.y)];
  const mark = look.shape === "shut"
    ? draw("path", { class: `dot ${look.css}`, fill: "currentColor", d: `M${x} ${y - 5}l5 5l-5 5l-5-5z` })
    : draw("circle", { class: `dot ${look.css}`, fill: "currentColor", cx: x, cy: y, r: 4 });
  return [draw("polyline", { class: `trace ${look.css}`, stroke: "currentColor", points: line }), mark];
}

function nearest(points, x, across) {
  let best = null;
  for (const point of points) {
    if (!best || Math.abs(across(point.x) - x) < Math.abs(across(best.x) - x)) best = point;
  }
  return best;
}

/** Sizes of encrypted records over time: up above the line, down below it, on a square-root scale. */
export function plotRecords(svg, leftovers) {
  const { width, height } = svg.getBoundingClientRect();
  if (!width) return;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const records = leftovers.records;
  const tallest = Math.max(1, ...records.map(([, , bytes]) => bytes));
  const middle = height * 0.7;
  const step = (width - 24) / 120;
  const parts = [draw("line", { x1: 12, x2: width - 12, y1: middle, y2: middle })];
  records.forEach(([, direction, bytes], place) => {
    const room = direction === "up" ? middle - 34 : height - middle - 34;
    const tall = Math.max(1.5, Math.sqrt(bytes / tallest) * room);
    parts.push(draw("rect", { class: direction, x: 12 + place * step, y: direction === "up" ? middle - tall : middle + 1, width: Math.max(1, step - 0.8), height: tall }));
  });
  parts.push(draw("text", { x: 12, y: 20 }, "to the cloud, by size"));
  parts.push(draw("text", { x: 12, y: height - 12 }, `and back; largest ${tallest.toLocaleString("en")} bytes`));
  svg.setAttribute("aria-label", `The last ${records.length} encrypted records by size and direction`);
  svg.replaceChildren(...parts);
}
