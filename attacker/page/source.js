// Whose picture is sent: the demo's, a camera's, or one that somebody chose. Nothing of it is stored.

import { find, show, text } from "./format.js";
import { page } from "./state.js";

const CAMERA_GAP_MS = 300;
const CHOSEN_GAP_MS = 1000;
const SIDE_PIXELS = 640; // of the shorter side
const LONGEST_PIXELS = 1600;
const EXPLAINED = "Try your own face, or drop a picture here: nothing of it is stored.";
const NO_CAMERA = "A browser gives its camera only to pages on this machine or over https. Drop or choose a picture: nothing of it is stored.";

const idle = () => (navigator.mediaDevices ? EXPLAINED : NO_CAMERA);

let run = null; // {kind, stop} while own pictures are sent

export const isOwn = () => run !== null;

function say(words, bad = false) {
  text(find("source-note"), words);
  find("source-note").classList.toggle("bad", bad);
}

function paint() {
  find("use-camera").setAttribute("aria-pressed", String(run?.kind === "camera"));
  find("use-file").setAttribute("aria-pressed", String(run?.kind === "file"));
  show(find("use-camera"), run?.kind !== "file");
  show(find("use-file"), run?.kind !== "camera");
  show(find("use-demo"), run !== null || page.conductor?.pictures === "own");
}

/** A picture or video as a JPEG, no larger than networks need, without anything that a camera writes beside it. */
function still(source, width, height) {
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, SIDE_PIXELS / Math.min(width, height), LONGEST_PIXELS / Math.max(width, height));
  [canvas.width, canvas.height] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
}

async function post(blob) {
  const answer = await fetch("picture", { method: "POST", headers: { "Content-Type": blob.type }, body: blob });
  if (answer.ok) return;
  const told = await answer.json().catch(() => ({}));
  throw new Error(told.error ?? `the server answered ${answer.status}`);
}

async function send(kind, shoot, gapMs, stop) {
  end();
  const own = { kind, stop };
  run = own;
  paint();
  say(kind === "camera" ? "Your camera is on. Nothing of its pictures is stored." : "Your picture plays, again and again. Nothing of it is stored.");
  try {
    while (run === own) {
      await post(await shoot());
      await new Promise((done) => setTimeout(done, gapMs));
    }
  } catch (error) {
    if (run === own) { end(); say(`Not sent: ${error.message}`, true); }
  }
}

function end() {
  run?.stop();
  run = null;
  paint();
}

async function useCamera() {
  const video = find("video");
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: "user", width: { ideal: 640 } } });
    video.srcObject = stream;
    await video.play();
    await send("camera", () => still(video, video.videoWidth, video.videoHeight), CAMERA_GAP_MS, () => {
      for (const track of stream.getTracks()) track.stop();
      video.srcObject = null;
    });
  } catch (error) {
    say(error.name === "NotAllowedError" ? "The browser was told not to give its camera." : `No camera: ${error.message}`, true);
  }
}

async function useFile(file) {
  if (!file) return;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return say(`${file.name} is no picture that this browser can read.`, true);
  }
  const blob = await still(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  await send("file", () => blob, CHOSEN_GAP_MS, () => {});
}

export function begin(ask) {
  const file = find("file");
  const drop = find("drop");
  find("use-camera").disabled = !navigator.mediaDevices;
  find("use-camera").addEventListener("click", () => (run?.kind === "camera" ? find("use-demo").click() : useCamera()));
  find("use-file").addEventListener("click", () => file.click());
  file.addEventListener("change", () => { useFile(file.files[0]); file.value = ""; });
  find("use-demo").addEventListener("click", () => { end(); say(idle()); ask({ pictures: "demo" }); });
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); useFile(event.dataTransfer.files[0]); });
}

/** Called with each state of the conductor: only it can take pictures. */
export function update() {
  if (page.conductor && find("source").hidden) say(idle());
  show(find("source"), Boolean(page.conductor));
  paint();
}
