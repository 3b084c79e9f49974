#!/usr/bin/env node
/** The command line: `node dist/main.js` without arguments says how. */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

import { Client, framesOf, type Options } from "./client.js";
import { bytesToFloats, Codec, floatsToBytes } from "./codec.js";
import { type Manifest, readManifest } from "./manifest.js";

const USAGE = `usage: main.js describe MANIFEST SERVER
       main.js encode   MANIFEST CODEC FEATURES          payloads, a line of hex for each feature
       main.js decode   MANIFEST CODEC PAYLOADS          features, from such lines
       main.js infer    MANIFEST CODEC FEATURES SERVER   a call for each feature; answers as JSON lines
       main.js stream   MANIFEST CODEC FEATURES SERVER   one call for all of them
MANIFEST is a bundle's manifest.json, FEATURES a file of little-endian float32, one feature after the other,
SERVER is HOST:PORT.
  --ca FILE      speak TLS; FILE has the certificate of the authority that signed the server's
  --top-k N      classes of each answer (1)
  --staged       the features already have what the bundle's edge stages do to them
The variable SIFTFUNNEL_TOKEN is sent as bearer token.
`;

function print(value: object): void {
  process.stdout.write(JSON.stringify(value) + "\n");
}

async function ask(client: Client, manifest: Manifest, codec: Codec, features: Float32Array, streamed: boolean) {
  const frames = framesOf(codec, features, manifest.channels * manifest.positions);
  if (streamed) for await (const answer of client.stream(frames)) print(answer);
  else for (const frame of frames) print(await client.infer(frame));
}

async function online(server: string, manifest: Manifest, options: Options, use: (client: Client) => Promise<void>) {
  const client = await Client.connect(server, manifest, options);
  try {
    await use(client);
  } finally {
    client.close();
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { ca: { type: "string" }, "top-k": { type: "string" }, staged: { type: "boolean" } },
  });
  const [command, path, ...rest] = positionals;
  const wanted = { describe: 1, encode: 2, decode: 2, infer: 3, stream: 3 }[command];
  if (rest.length !== wanted) throw new Error(`wrong arguments\n${USAGE}`);
  const manifest = readManifest(readFileSync(path));
  const options = { ca: values.ca, token: process.env.SIFTFUNNEL_TOKEN, topK: Number(values["top-k"] ?? 1) };
  if (command === "describe")
    return online(rest[0], manifest, options, async (client) => print(await client.describe()));
  const codec = new Codec(manifest, rest[0]);
  if (command === "decode") {
    const lines = readFileSync(rest[1], "latin1").split("\n").filter(Boolean);
    for (const line of lines) process.stdout.write(floatsToBytes(codec.decode(Buffer.from(line, "hex"))));
    return;
  }
  // a stage that is left out would send more than the defence allows
  if (manifest.edgeStages.length && !values.staged)
    throw new Error(`the bundle has edge stages (${manifest.edgeStages}): apply them, then say --staged`);
  const features = bytesToFloats(readFileSync(rest[1]));
  if (command === "encode")
    for (const { payload } of framesOf(codec, features, manifest.channels * manifest.positions))
      process.stdout.write(Buffer.from(payload).toString("hex") + "\n");
  else
    await online(rest[2], manifest, options, (client) =>
      ask(client, manifest, codec, features, command === "stream"),
    );
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
