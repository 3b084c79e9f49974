/** The calls: Describe, Infer and Stream, with window, digest and sealed replies (docs/wire.md, "Calls"). */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

import type { Codec } from "./codec.js";
import { crc32c } from "./crc32c.js";
import type { Manifest } from "./manifest.js";

const PROTO = fileURLToPath(new URL("../../../proto/siftfunnel/v1/split_inference.proto", import.meta.url));
const BUNDLE = "siftfunnel-bundle";
/** The field `checksum` of a reply, which is the last one: its tag, then four bytes. */
const SEAL_TAG = 0x25;
const SEAL_BYTES = 5;
const DEADLINE_S = 60;

const service = loadSync(PROTO, { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true })[
  "siftfunnel.v1.SplitInference"
] as grpc.ServiceDefinition;
const parseReply = service.Infer.responseDeserialize;
// a seal is taken over bytes, so replies come as they are
const asBytes = { responseDeserialize: (bytes: Buffer) => bytes };
const Stub = grpc.makeClientConstructor(
  { ...service, Infer: { ...service.Infer, ...asBytes }, Stream: { ...service.Stream, ...asBytes } },
  "SplitInference",
);

export interface Frame {
  sequence: number;
  codec: number;
  payload: Uint8Array;
}

/** What the server told when a call opened. */
interface Terms {
  window: number;
  sealed: boolean;
}

export interface Options {
  /** PEM file of the authority that signed the server's certificate; plain text without it. */
  ca?: string;
  token?: string;
  topK?: number;
}

export class Client {
  private readonly stub: any;
  private readonly metadata = new grpc.Metadata();
  private bundle: any;

  private constructor(server: string, private readonly manifest: Manifest, options: Options) {
    const credentials = options.ca
      ? grpc.credentials.createSsl(readFileSync(options.ca))
      : grpc.credentials.createInsecure();
    // outputs take 4 MiB of a reply unless the server was told otherwise
    this.stub = new Stub(server, credentials, { "grpc.max_receive_message_length": 8 * 2 ** 20 });
    this.metadata.set(BUNDLE, manifest.digest);
    this.metadata.set("siftfunnel-top-k", String(options.topK ?? 1));
    if (options.token) this.metadata.set("authorization", `Bearer ${options.token}`);
  }

  /** Connect to a server that serves the bundle of this manifest; throws where it does not. */
  static async connect(server: string, manifest: Manifest, options: Options = {}): Promise<Client> {
    const client = new Client(server, manifest, options);
    const { bundles } = await client.describe();
    client.bundle = bundles.find((bundle: any) => bundle.digest === manifest.digest);
    if (client.bundle) return client;
    client.close();
    const served = bundles.map((bundle: any) => `${bundle.name} ${bundle.digest}`).join(", ");
    throw new Error(`the manifest is of ${manifest.name} ${manifest.digest}, the server has ${served}`);
  }

  /** What the server serves and takes. */
  describe(): Promise<any> {
    return new Promise((resolve, reject) =>
      this.stub.Describe({}, this.metadata, deadline(), (error: Error | null, reply: any) =>
        error ? reject(error) : resolve(reply),
      ),
    );
  }

  /** One frame, one answer. */
  async infer(frame: Frame): Promise<object> {
    let call: any;
    const reply = new Promise<Buffer>((resolve, reject) => {
      call = this.stub.Infer(frame, this.metadata, deadline(), (error: Error | null, bytes: Buffer) =>
        error ? reject(error) : resolve(bytes),
      );
    });
    const [terms, bytes] = await Promise.all([this.agreed(call), reply]);
    return this.answer(frame, bytes, terms);
  }

  /** Frames of one source; an answer for each, in order, never more unanswered than the server's window. */
  async *stream(frames: Iterable<Frame>): AsyncGenerator<object> {
    const call = this.stub.Stream(this.metadata);
    const terms = await this.agreed(call);
    const left = frames[Symbol.iterator]();
    const inFlight: Frame[] = [];
    let ended = false;
    const fill = () => {
      while (!ended && inFlight.length < terms.window) {
        const { done, value } = left.next();
        ended = done === true;
        if (ended) call.end();
        else call.write(inFlight[inFlight.push(value) - 1]);
      }
    };
    try {
      fill();
      for await (const bytes of call) {
        const frame = inFlight.shift();
        if (!frame) throw new Error("a reply came that no frame was waiting for");
        yield this.answer(frame, bytes, terms);
        fill();
      }
      if (inFlight.length) throw new Error(`the stream ended with ${inFlight.length} frames unanswered`);
    } finally {
      // of no effect on a call that is over
      call.cancel();
    }
  }

  close(): void {
    this.stub.close();
  }

  /** Wait for the server's side of the call's metadata, where it repeats the digest. */
  private agreed(call: grpc.ClientReadableStream<Buffer>): Promise<Terms> {
    return new Promise((resolve, reject) => {
      // a call that is turned down brings no digest, but its status
      call.on("error", reject);
      call.on("metadata", (told: grpc.Metadata) => {
        const [digest] = told.get(BUNDLE);
        if (digest === undefined) return;
        if (digest !== this.manifest.digest) {
          reject(new Error(`the server answers for bundle ${digest}`));
          call.cancel();
        }
        const [window] = told.get("siftfunnel-window");
        const sealed = told.get("siftfunnel-sealed")[0] === "crc32c";
        resolve({ window: Number(window) || 1, sealed });
      });
    });
  }

  /** What a reply says of the oldest frame that has none. */
  private answer(frame: Frame, bytes: Buffer, terms: Terms): object {
    const { sequence } = frame;
    const reply = parsed(bytes);
    if (!reply || ((terms.sealed || reply._checksum) && !this.fits(frame, bytes))) {
      const message = "it is no reply, or its checksum differs";
      return { sequence, error: { code: "DAMAGED_REPLY", message, retry_after_ms: 0 } };
    }
    if (reply.sequence !== sequence) throw new Error(`frame ${sequence} was due, the reply is ${reply.sequence}'s`);
    if (reply.outcome !== "prediction") return { sequence, error: reply.error };
    return { sequence, ...this.predicted(reply.prediction) };
  }

  /** A prediction by names; a server may name what the bundle does not have. */
  private predicted({ class_index, score, outputs, timings }: any): object {
    const { classes } = this.manifest;
    if (class_index.some((index: number, place: number) => index >= classes.length || place >= score.length))
      throw new Error(`the reply names classes ${class_index}, of which one has no name or no score`);
    if (outputs.some(({ output }: any) => output >= this.bundle.outputs.length))
      throw new Error("the reply has an output that the bundle has not");
    return {
      classes: class_index.map((index: number, place: number) => {
        return { index, name: classes[index], score: score[place] };
      }),
      outputs: outputs.map(({ output, shape, data }: any) => {
        const { name, dtype } = this.bundle.outputs[output];
        return { name, dtype, shape, data: data.toString("base64") };
      }),
      timings,
    };
  }

  /** Whether a reply is sealed, undamaged, and about the frame's payload. */
  private fits(frame: Frame, bytes: Buffer): boolean {
    const end = bytes.length - SEAL_BYTES;
    if (end < 0 || bytes[end] !== SEAL_TAG) return false;
    const digest = Buffer.from(this.manifest.digest, "hex");
    return bytes.readUInt32LE(end + 1) === crc32c(digest, frame.payload, bytes.subarray(0, end));
  }
}

function parsed(bytes: Buffer): any {
  try {
    return parseReply(bytes);
  } catch {
    return undefined;
  }
}

/** Frames with numbers from 0 on, of one feature each. */
export function* framesOf(codec: Codec, features: Float32Array, size: number): Generator<Frame> {
  if (features.length % size) throw new Error(`${features.length} values are no whole features of ${size}`);
  for (let sequence = 0; sequence * size < features.length; sequence++) {
    const values = features.subarray(sequence * size, (sequence + 1) * size);
    yield { sequence, codec: codec.index, payload: codec.encode(values) };
  }
}

function deadline(): grpc.CallOptions {
  return { deadline: Date.now() + DEADLINE_S * 1000 };
}
