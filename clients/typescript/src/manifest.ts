/** The manifest: what both ends agree on before a byte of a payload is read (docs/wire.md, "Manifest"). */

import { createHash } from "node:crypto";

export type Fields = { [name: string]: any };

/** A codec; its place in the manifest's list is what the wire calls it. */
export interface CodecSpec {
  name: string;
  kind: string;
  parameters: Fields;
}

export interface Manifest {
  /** SHA-256 of the stored bytes, hex: what every call names. */
  digest: string;
  name: string;
  classes: string[];
  channels: number;
  /** Values of each channel. */
  positions: number;
  codecs: CodecSpec[];
  defaultCodec: string;
  /** Kinds of what the device does to a feature before it is encoded. */
  edgeStages: string[];
}

const INPUT = ["height", "width", "mean", "std", "crop"];
const INPUT_2 = ["scale", "shorter_side", "filter", "antialias", "colour", "layout", "dtype", "padding"];
const MANIFEST = [
  ...["schema_version", "name", "architecture", "defence", "split_point", "input", "classes", "label_kind"],
  ...["edge_stages", "default_codec", "codecs", "files"],
];
const MOST_VALUES = 2 ** 24;
const MANIFEST_2 = ["tensors", "outputs", "class_ids", "frames_per_run", "original_sha256"];

/** Read a manifest as it is stored; throws where a field is missing, unknown or told twice. */
export function readManifest(stored: Uint8Array): Manifest {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(stored);
  const told = parse(text);
  const second = told.schema_version === 2;
  if (!second && told.schema_version !== 1) throw new Error(`manifest: schema ${told.schema_version} is not known here`);
  exactly(told, "manifest", [...MANIFEST, ...(second ? MANIFEST_2 : ["feature"])]);
  exactly(told.input, "input", second ? [...INPUT, ...INPUT_2] : INPUT);
  each(told.codecs, "codecs", ["name", "kind", "parameters"]);
  each(told.edge_stages, "edge_stages", ["kind", "parameters"]);
  each(Object.values(told.files), "files", ["sha256", "size_bytes"]);
  const shape = second ? shapeOfOne(told) : shapeOfFeature(told.feature);
  shape.forEach((side, axis) => whole(side, `axis ${axis} of the feature`, 1, MOST_VALUES));
  whole(shape.reduce((product, side) => product * side), "values of a feature", 1, MOST_VALUES);
  return {
    digest: createHash("sha256").update(stored).digest("hex"),
    name: told.name,
    classes: told.classes,
    channels: shape[0],
    positions: shape.slice(1).reduce((product, side) => product * side, 1),
    codecs: told.codecs,
    defaultCodec: told.default_codec,
    edgeStages: told.edge_stages.map((stage: Fields) => stage.kind),
  };
}

function parse(text: string): Fields {
  try {
    const told = JSON.parse(text);
    refuseTwins(text);
    return told;
  } catch (error) {
    throw new Error(`manifest: ${(error as Error).message}`);
  }
}

function shapeOfFeature(feature: Fields): number[] {
  exactly(feature, "feature", ["channels", "height", "width"]);
  return [feature.channels, feature.height, feature.width];
}

function shapeOfOne(told: Fields): number[] {
  each(told.tensors, "tensors", ["name", "shape"]);
  each(told.outputs, "outputs", ["name", "kind", "shape", "dtype"]);
  if (told.tensors.length !== 1) throw new Error("several tensors in a frame: this client sends one");
  return told.tensors[0].shape;
}

function each(objects: Fields[], place: string, names: string[]): void {
  objects.forEach((object, index) => exactly(object, `${place}[${index}]`, names));
}

/** A field that one end does not know may be one that protects somebody. */
export function exactly(object: Fields, place: string, names: string[]): void {
  const missing = names.find((name) => !Object.hasOwn(object ?? {}, name));
  if (missing) throw new Error(`${place}: field ${missing} is missing`);
  const unknown = Object.keys(object).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`${place}: field ${unknown} is not known here`);
}

/** A whole number in bounds. */
export function whole(value: unknown, what: string, least: number, most: number): number {
  if (Number.isInteger(value) && least <= (value as number) && (value as number) <= most) return value as number;
  throw new Error(`${what}: must be a whole number in [${least}, ${most}]`);
}

/** JSON.parse keeps the last of two equal keys without a word. Expects text that it has read. */
function refuseTwins(text: string): void {
  const open: Set<string>[] = [];
  for (const [token, key] of text.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")\s*:|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (key) {
      const keys = open[open.length - 1];
      const name = JSON.parse(key);
      if (keys.has(name)) throw new Error(`key ${name} appears twice`);
      keys.add(name);
    }
  }
}

/** Bytes that stand in the manifest as base64, as many as are wanted. */
export function base64(parameters: Fields, name: string, bytes: number): Buffer {
  const found = Buffer.from(parameters[name], "base64");
  if (found.length !== bytes) throw new Error(`${name} holds ${found.length} bytes, not ${bytes}`);
  return found;
}
