// Each tap's honest state.

import { fixed, make, refill, size, whole } from "./format.js";

const KINDS = {
  relay: "Relay in the path",
  sniff: "Sniffer on the network",
  pcap: "Recorded capture",
  cloud: "Curious cloud",
};
const PHASES = {
  idle: "not started", starting: "starting", running: "listening", finished: "at the end of the file",
  failed: "failed", stopped: "stopped",
};

/** Sentences that a tap's state calls for. */
export function remarks(tap) {
  const lines = [];
  if (tap.detail) lines.push(tap.detail);
  if (tap.midway_connections) {
    lines.push(`${whole(tap.midway_connections)} joined midway: the headers are gone, so method and network stay unknown until a payload’s checksum settles them.`);
  }
  if (tap.encrypted_connections) lines.push(`${whole(tap.encrypted_connections)} encrypted: only sizes and times are left to see there.`);
  return lines;
}

function facts(tap) {
  const list = [
    ["passed", size(tap.bytes_seen)],
    ["messages read", whole(tap.messages)],
    ["unreadable", size(tap.opaque_bytes)],
    ["connections", `${whole(tap.connections_open)} open, ${whole(tap.connections_seen)} seen`],
  ];
  if (tap.kind === "relay") {
    const told = tap.added_latency_us_p50 == null ? "not measured yet" : `${fixed(tap.added_latency_us_p50 / 1000, 2)} ms (p99 ${fixed(tap.added_latency_us_p99 / 1000, 2)} ms)`;
    list.push(["added latency", told]);
  }
  return list;
}

export function renderTaps(list, taps) {
  refill(list, taps.map((tap) => ({ ...tap, leftovers: null })), () => taps.map((tap) => {
    const dropped = Object.entries(tap.dropped || {});
    const rows = facts(tap).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
    rows.push(make("dt", {}, "dropped"));
    rows.push(dropped.length ? make("dd", { class: "bad" }, dropped.map(([why, count]) => `${whole(count)} ${why}`).join("; ")) : make("dd", {}, "nothing"));
    return make("li", { "data-tap": tap.name },
      make("h4", {}, make("i", { class: tap.phase, "aria-hidden": "true" }), `${KINDS[tap.kind] || tap.kind}: ${PHASES[tap.phase] || tap.phase}`),
      make("code", {}, tap.address ? `${tap.tap} (listens at ${tap.address})` : tap.tap),
      ...remarks(tap).map((line) => make("p", { class: "note" }, line)),
      make("dl", {}, ...rows));
  }));
}
