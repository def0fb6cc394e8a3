// The account page's voices: copies that are kept, and the way to a new one. Nothing is sent before the
// consent was given, and the recording can be heard before.

import { call, explain, Problem, upload } from "./api.js";
import { $, confirmed, el, toast, when } from "./dom.js";
import { sample } from "./voices.js";

const LOOK_MS = 3000;
const STATES = { preparing: ["Being made", "busy"], ready: ["Ready", "good"], failed: ["Failed", "bad"] };
const sound = new Audio();
let recorder = null;
let recording = null; // what would be sent
let terms = null;

async function look() {
  const voices = (await call("GET", "voices/copies")).results;
  $("copies").replaceChildren(...voices.map(row));
  $("copies-empty").hidden = voices.length > 0;
  $("voices-card").hidden = !voices.length && !terms.providers.length;
  if (voices.some((voice) => voice.status === "preparing")) setTimeout(() => look().catch(() => {}), LOOK_MS);
}

function row(voice) {
  const [word, tone] = STATES[voice.status] ?? [voice.status, "plain"];
  const actions = el("div", { class: "actions" });
  if (voice.status === "ready") {
    const listen = el("button", { class: "button small", type: "button", "aria-label": `Listen to ${voice.name}` }, "Listen");
    listen.addEventListener("click", () => hear(voice, listen));
    actions.append(listen);
  }
  const remove = el("button", { class: "button small danger", type: "button", "aria-label": `Delete ${voice.name}` }, "Delete");
  remove.addEventListener("click", () => forget(voice));
  actions.append(remove);
  const words = el(
    "div",
    { class: "copy-words" },
    el("strong", {}, voice.name),
    el("span", { class: "faint" }, `${voice.consent.speaker} agreed ${when(voice.consent.given_at)} · ${voice.provider} · ${voice.language}`),
  );
  if (voice.failure) words.append(el("p", { class: "field-error" }, explain(voice.failure)));
  return el("li", { class: "copy" }, words, el("span", { class: `tag ${tone}` }, word), actions);
}

async function hear(voice, button) {
  button.setAttribute("aria-busy", "true");
  try {
    sound.src = await sample(voice.id, voice);
    await sound.play();
  } catch (error) {
    toast(error instanceof Problem ? explain(error) : "This voice cannot be played right now.");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

async function forget(voice) {
  const sure = await confirmed({
    title: `Delete “${voice.name}”?`,
    text: "It is deleted here and at its provider. Clips that were made stay; new ones cannot use it.",
    yes: "Delete",
  });
  if (!sure) return;
  try {
    await call("DELETE", `voices/${encodeURIComponent(voice.id)}`);
    await look();
  } catch (error) {
    toast(explain(error));
  }
}

// --- A new one --------------------------------------------------------------------------------

function take(blob, name) {
  recording = { blob, name };
  const check = $("sound-check");
  URL.revokeObjectURL(check.src);
  check.src = URL.createObjectURL(blob);
  check.hidden = false;
  $("sound-state").textContent = "Listen to it before you go on.";
}

async function record() {
  if (recorder) {
    recorder.stop();
    return;
  }
  let microphone;
  try {
    microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false } });
  } catch {
    complain("The microphone cannot be used. Allow it in the browser, or choose a file.");
    return;
  }
  const pieces = [];
  const began = Date.now();
  recorder = new MediaRecorder(microphone);
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  const clock = setInterval(() => {
    const seconds = Math.round((Date.now() - began) / 1000);
    $("sound-state").textContent = `Recording: ${seconds} s`;
    if (seconds >= terms.max_seconds) recorder?.stop();
  }, 250);
  recorder.addEventListener("stop", () => {
    clearInterval(clock);
    for (const track of microphone.getTracks()) track.stop();
    const kind = recorder.mimeType || "audio/webm";
    recorder = null;
    $("sound-record").textContent = "Record again";
    take(new Blob(pieces, { type: kind }), kind.includes("mp4") ? "voice.mp4" : "voice.webm");
  });
  recorder.start(1000);
  $("sound-record").textContent = "Stop";
}

function complain(text) {
  $("voice-error").textContent = text;
  $("voice-error").hidden = !text;
}

async function send(event) {
  event.preventDefault();
  complain("");
  if (recorder) recorder.stop();
  if (!recording) return complain("Record the voice, or choose a file.");
  if (!$("voice-form").reportValidity()) return;
  const form = new FormData();
  const told = { name: "voice-name", provider: "voice-provider", language: "voice-language", gender: "voice-gender", speaker: "voice-speaker" };
  for (const [name, id] of Object.entries(told)) form.append(name, $(id).value.trim());
  form.append("consent", $("voice-consent").checked);
  form.append("consent_version", terms.version);
  form.append("file", recording.blob, recording.name);
  const button = $("voice-send");
  button.setAttribute("aria-busy", "true");
  try {
    await upload("voices", form, () => {});
    $("voice-dialog").close();
    toast("The voice is being copied. That takes a minute at most.");
    await look();
  } catch (error) {
    complain(explain(error.errors?.[0] ? { ...error.errors[0], message: error.errors[0].detail } : error));
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function open() {
  recording = null;
  $("voice-form").reset();
  $("sound-check").hidden = true;
  $("sound-record").textContent = "Record";
  $("sound-state").textContent = `One person, ${terms.min_seconds} to ${terms.max_seconds} seconds, no music.`;
  complain("");
  $("voice-dialog").showModal();
}

async function begin() {
  terms = await call("GET", "voices/consent");
  $("consent-text").textContent = terms.text;
  $("voice-provider").replaceChildren(...terms.providers.map((one) => new Option(one.name, one.id)));
  $("voice-new").hidden = !terms.providers.length;
  $("voice-new").addEventListener("click", open);
  $("voice-form").addEventListener("submit", send);
  $("sound-record").addEventListener("click", record);
  $("sound-file").addEventListener("change", (event) => event.target.files[0] && take(event.target.files[0], event.target.files[0].name));
  $("voice-dialog").addEventListener("close", () => {
    recorder?.stop();
    $("sound-check").pause();
  });
  await look();
}

begin().catch((error) => toast(explain(error)));
