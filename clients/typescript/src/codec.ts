/** Feature tensor to payload and back, for the kinds "float" (float32), "affine" and "table" of docs/wire.md. */

import { crc32c } from "./crc32c.js";
import { leftEdges, read, write } from "./entropy.js";
import { base64, exactly, type Fields, type Manifest, whole } from "./manifest.js";

const SEAL_BYTES = 4;

/** A feature without its checksum; the lengths that can be right are known beforehand. */
interface Body {
  leastBytes: number;
  mostBytes: number;
  write(values: Float32Array): Uint8Array;
  read(body: Uint8Array): Float32Array;
}

export class Codec {
  readonly index: number;
  private readonly size: number;
  private readonly body: Body;
  private readonly prefix: Buffer;

  /** The codec of a manifest that people call by a name. */
  constructor(manifest: Manifest, readonly name: string) {
    this.index = manifest.codecs.findIndex((codec) => codec.name === name);
    if (this.index < 0) throw new Error(`no codec ${name}; there are: ${manifest.codecs.map((c) => c.name)}`);
    const { kind, parameters } = manifest.codecs[this.index];
    if (!Object.hasOwn(BODIES, kind)) throw new Error(`codec ${name}: this client does not know kind ${kind}`);
    this.size = manifest.channels * manifest.positions;
    this.body = BODIES[kind](parameters, manifest.channels, manifest.positions);
    this.prefix = Buffer.from([...Buffer.from(manifest.digest, "hex"), this.index]);
  }

  /** One sealed payload of finite values, ordered channel, row, column. */
  encode(values: Float32Array): Uint8Array {
    if (values.length !== this.size) throw new Error(`${values.length} values, expected ${this.size}`);
    if (!values.every(Number.isFinite)) throw new Error("features hold NaN or infinity");
    const body = this.body.write(values);
    const payload = Buffer.concat([body, Buffer.alloc(SEAL_BYTES)]);
    payload.writeUInt32LE(crc32c(this.prefix, body), body.length);
    return payload;
  }

  /** The values of a payload; throws where it is not one that `encode` makes. */
  decode(payload: Uint8Array): Float32Array {
    const bytes = payload.length - SEAL_BYTES;
    const { leastBytes, mostBytes } = this.body;
    if (bytes < leastBytes || bytes > mostBytes)
      throw new Error(`body of ${bytes} bytes, expected ${leastBytes} to ${mostBytes}`);
    const body = payload.subarray(0, bytes);
    if (Buffer.from(payload).readUInt32LE(bytes) !== crc32c(this.prefix, body))
      throw new Error("checksum differs: the payload is damaged, or of another bundle or codec");
    return this.body.read(body);
  }
}

const BODIES: { [kind: string]: (parameters: Fields, channels: number, positions: number) => Body } = {
  float(parameters, channels, positions) {
    exactly(parameters, "float", ["dtype"]);
    if (parameters.dtype !== "float32") throw new Error(`this client does not know dtype ${parameters.dtype}`);
    const bytes = 4 * channels * positions;
    return { leastBytes: bytes, mostBytes: bytes, write: floatsToBytes, read: finite };
  },

  affine(parameters, channels, positions) {
    exactly(parameters, "affine", ["step", "zero_level"]);
    const zero = whole(parameters.zero_level, "zero_level", 0, 255);
    const quantiser = new Quantiser(256, [parameters.step], [zero], channels * positions);
    return {
      leastBytes: channels * positions,
      mostBytes: channels * positions,
      write: (values) => quantiser.quantise(values),
      read: (levels) => quantiser.dequantise(levels),
    };
  },

  table(parameters, channels, positions) {
    exactly(parameters, "table", ["levels", "precision_bits", "steps", "zero_levels", "counts"]);
    const levels = whole(parameters.levels, "levels", 2, 256);
    const bits = whole(parameters.precision_bits, "precision_bits", 12, 16);
    const steps = bytesToFloats(base64(parameters, "steps", 4 * channels));
    const zeros = base64(parameters, "zero_levels", channels);
    const quantiser = new Quantiser(levels, steps, zeros, positions);
    const rows = tables(base64(parameters, "counts", 2 * channels * levels), levels, 2 ** bits);
    return {
      leastBytes: 0,
      mostBytes: 4 * Math.ceil((channels * positions * (bits + 1)) / 32) + 16,
      write: (values) => write(quantiser.quantise(values), rows, positions),
      read: (body) => quantiser.dequantise(read(body, rows, positions)),
    };
  },
};

/** The rows of counts as edges, checked: every count is 1 or more, every row has the same sum. */
function tables(counts: Buffer, levels: number, sum: number): number[][] {
  const rows: number[][] = [];
  for (let start = 0; start < counts.length; start += 2 * levels) {
    const row = Array.from({ length: levels }, (_, level) => counts.readUInt16LE(start + 2 * level));
    const edges = leftEdges(row);
    if (row.includes(0) || row.reduce((total, count) => total + count) !== sum)
      throw new Error(`counts of channel ${rows.length} hold a 0, or do not add up to ${sum}`);
    rows.push(edges);
  }
  return rows;
}

/** One step for each group of values. All arithmetic is of float32: `fround` after each double operation. */
class Quantiser {
  private readonly steps: Float32Array;

  constructor(
    readonly levels: number,
    steps: Iterable<number>,
    readonly zeros: ArrayLike<number>,
    readonly each: number,
  ) {
    this.steps = Float32Array.from(steps);
    const [least, most] = [Math.fround(1e-30), Math.fround(1e30)];
    if (!this.steps.every((step) => step >= least && step <= most)) throw new Error("a step is out of range");
    if (!Array.from(zeros).every((zero) => zero >= 0 && zero < levels)) throw new Error("a zero level is none");
  }

  quantise(values: Float32Array): Uint8Array {
    return Uint8Array.from(values, (value, place) => {
      const group = Math.floor(place / this.each);
      const [step, zero] = [this.steps[group], this.zeros[group]];
      const lowest = Math.fround(-zero * step);
      const highest = Math.fround((this.levels - 1 - zero) * step);
      // clipped first, or the division could overflow
      return halfToEven(Math.fround(Math.min(Math.max(value, lowest), highest) / step)) + zero;
    });
  }

  dequantise(levels: Uint8Array): Float32Array {
    return Float32Array.from(levels, (level, place) => {
      const group = Math.floor(place / this.each);
      return (level - this.zeros[group]) * this.steps[group];
    });
  }
}

/** The nearest whole number; Math.round takes 2.5 to 3. Next to 1.5 x 2^52 doubles have no fraction left. */
function halfToEven(value: number): number {
  return value + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;
}

/** Values as little-endian float32, whatever this machine is. */
export function floatsToBytes(values: Float32Array): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, place) => bytes.writeFloatLE(value, 4 * place));
  return bytes;
}

export function bytesToFloats(bytes: Uint8Array): Float32Array {
  const view = Buffer.from(bytes);
  return Float32Array.from({ length: bytes.length / 4 }, (_, place) => view.readFloatLE(4 * place));
}

function finite(body: Uint8Array): Float32Array {
  const values = bytesToFloats(body);
  if (!values.every(Number.isFinite)) throw new Error("body holds NaN or infinity");
  return values;
}
