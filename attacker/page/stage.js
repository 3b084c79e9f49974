// Camera, wire, attacker: the three pictures, and what the curious cloud sees when the wire is encrypted.

import { plotRecords } from "./chart.js";
import { find, fixed, make, picture, refill, show, size, text, whole } from "./format.js";
import { encrypted, isCloudTap, look, namesInUse, page, swatch } from "./state.js";

const QUIET_MS = 1500;

const tappedLeftovers = () => page.books?.taps.filter((tap) => tap.leftovers && tap.kind !== "cloud").map((tap) => tap.leftovers).sort((a, b) => b.latest_s - a.latest_s)[0];

export function paintStage(now) {
  const hidden = encrypted();
  document.documentElement.classList.toggle("encrypted", hidden);
  const frame = page.shown;
  const bundle = frame && page.bundles.get(frame.digest);
  document.documentElement.style.setProperty("--now", frame ? `var(--${look(frame.digest).css.replace("series-", "")})` : "var(--soft)");
  paintCamera(frame, now);
  const leftovers = hidden ? tappedLeftovers() : null;
  show(find("records"), Boolean(leftovers));
  if (leftovers) plotRecords(find("records"), leftovers);
  text(find("rebuilt-title"), hidden ? "What the attacker is left with" : "The attacker rebuilds");
  if (hidden) {
    paintCiphertext(leftovers);
  } else if (!frame) {
    for (const part of ["feature", "reconstruction"]) {
      picture(find(part), null, "");
      show(find(`${part}-empty`), true);
      text(find(`${part}-empty`), "Nothing yet.");
    }
  } else {
    paintWire(frame, bundle);
    paintRebuilt(frame, bundle);
  }
  paintCloud(hidden);
}

function paintCiphertext(leftovers) {
  const record = page.ciphertext;
  picture(find("feature"), record?.picture, "An encrypted record, byte by byte as grey pixels");
  show(find("feature-empty"), !record);
  text(find("feature-empty"), "Encrypted.");
  refill(find("feature-note"), [record?.hex, leftovers?.total_bytes], () => [
    make("b", {}, record ? `${whole(record.byte_count)} bytes of ciphertext` : "ciphertext"), make("br"), make("code", {}, record ? `${record.hex} …` : ""),
  ]);
  picture(find("reconstruction"), null, "");
  show(find("reconstruction-empty"), !leftovers);
  text(find("reconstruction-empty"), "Nothing to invert.");
  text(find("reconstruction-note"), leftovers ? `No picture: sizes, directions and times of ${size(leftovers.total_bytes)} are all that is left.` : "\u00a0");
}

function paintCamera(frame, now) {
  const preview = page.books?.preview;
  const alone = page.camera && (!frame?.pictures.original || encrypted() || page.camera.at - page.shownAt > QUIET_MS) && now - page.camera.at < 10 * QUIET_MS;
  const shown = alone && !isRecentCloud(now) ? { address: page.camera.original, label: page.camera.label } : { address: frame?.pictures.original, label: frame?.label };
  picture(find("original"), shown.address, shown.label ? `The model’s input: ${shown.label}` : "The model’s input");
  show(find("original-empty"), !shown.address);
  text(find("original-empty"), preview?.phase === "off" ? "Unknown: no preview of the camera was given, and the wire does not carry it." : preview?.detail || "No picture yet.");
  const spec = frame && page.bundles.get(frame.digest);
  const parts = [shown.label ? `true label: ${shown.label}` : null, spec ? `${spec.input[1]}\u00a0×\u00a0${spec.input[0]} pixels` : null];
  text(find("original-note"), parts.filter(Boolean).join(", ") || "\u00a0");
}

const isRecentCloud = (now) => page.shown && isCloudTap(page.shown.tap) && now - page.shownAt < QUIET_MS;

function paintWire(frame, bundle) {
  picture(find("feature"), frame.pictures.feature, "Channels of the intercepted feature tensor");
  show(find("feature-empty"), !frame.pictures.feature);
  const [channels, height, width] = frame.feature?.shape ?? [0, 0, 0];
  const some = frame.feature && frame.feature.tiles < channels ? `, ${frame.feature.tiles} shown` : "";
  refill(find("feature-note"), [frame.payload_bytes, frame.codec, channels, bundle?.name], () => [
    make("b", {}, `${whole(frame.payload_bytes)} bytes`), ` as ${frame.codec}, frame ${frame.sequence}`, make("br"),
    `feature of ${channels}\u00a0×\u00a0${height}\u00a0×\u00a0${width}${some}`,
  ]);
}

function paintRebuilt(frame, bundle) {
  const none = bundle && !bundle.inverter ? `No inverter for ${bundle.name}: its bytes and features are visible, but nothing is rebuilt here.` : "Not rebuilt.";
  picture(find("reconstruction"), frame.pictures.reconstruction, "What the attacker rebuilt from the feature");
  show(find("reconstruction-empty"), !frame.pictures.reconstruction);
  text(find("reconstruction-empty"), none);
  const near = frame.similarity;
  refill(find("reconstruction-note"), [near, bundle?.digest, namesInUse()], () => [
    near ? make("b", {}, `PSNR ${fixed(near.psnr, 1)} dB, SSIM ${fixed(near.ssim, 2)}`) : frame.pictures.reconstruction ? "not scored: the original is not known" : "not scored",
    make("br"), bundle ? swatch(bundle.digest) : null, bundle ? ` through ${bundle.name}` : "",
  ]);
}

function paintCloud(hidden) {
  const frame = page.shown && isCloudTap(page.shown.tap) ? page.shown : page.cloudFrame;
  const there = page.books?.taps.some((tap) => tap.kind === "cloud");
  show(find("cloud"), Boolean(hidden && there && frame));
  if (!hidden || !frame) return;
  picture(find("cloud-feature"), frame.pictures.feature, "The feature as the cloud receives it");
  picture(find("cloud-reconstruction"), frame.pictures.reconstruction, "The picture as the cloud could rebuild it");
  const near = frame.similarity ? `PSNR ${fixed(frame.similarity.psnr, 1)} dB, SSIM ${fixed(frame.similarity.ssim, 2)}.` : "";
  text(find("cloud-note"), `${frame.answer ? `It answered “${frame.answer.class}”. ` : ""}${near}`);
}
