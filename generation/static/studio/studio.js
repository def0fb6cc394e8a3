// Ties the page together: the composer, the stage and the list of clips.

import { call, explain, Problem, upload } from "./api.js";
import { AvatarPicker } from "./avatars.js";
import { Library, stageWords } from "./clips.js";
import { $, lasting, toast } from "./dom.js";
import { over, Watcher } from "./live.js";
import { ModelPicker } from "./model-picker.js";
import { Stage } from "./stage.js";
import { VoicePicker } from "./voices.js";
import { Words } from "./words.js";

const composer = $("composer");
const stage = new Stage(composer.dataset.hls);
const avatars = new AvatarPicker();
const models = new ModelPicker("clips");
const voices = new VoicePicker();
const words = new Words(voices);
const watcher = new Watcher();
const library = new Library({ watcher, avatars, onPlay: play, onRetry: reuse });
let current = null; // the clip on the stage that is being made
let announced = "";

avatars.addEventListener("change", () => {
  const avatar = avatars.selected;
  voices.suggest(avatar.default_voice);
  models.offer(avatar);
  $("background").hidden = !models.prepared.has_alpha;
  if (!current) {
    $("failure").hidden = true;
    stage.showAvatar(avatar);
  }
});
watcher.addEventListener("clip", (event) => follow(event.detail));
composer.addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
$("stop").addEventListener("click", async () => {
  if (!current) return;
  try {
    watcher.dispatchEvent(new CustomEvent("clip", { detail: await call("POST", `clips/${current.id}/cancel`) }));
  } catch (error) {
    toast(explain(error));
  }
});
composer.addEventListener("change", (event) => {
  if (event.target === models.select) $("background").hidden = !models.prepared?.has_alpha;
  if (event.target.name !== "background") return;
  $("background-image").hidden = event.target.value !== "image";
});
$("background-color").addEventListener("input", () => {
  composer.querySelector('[name="background"][value="color"]').checked = true;
});

async function generate() {
  const button = $("generate");
  if (button.getAttribute("aria-busy") === "true") return;
  $("failure").hidden = true;
  if (!avatars.selected) {
    failed("Choose a face first.");
    return;
  }
  if (!words.check()) return;
  button.setAttribute("aria-busy", "true");
  try {
    const wish = { avatar: avatars.selected.id, ...words.request(), ...(await look()) };
    const clip = await call("POST", "clips", { json: wish, headers: { "Idempotency-Key": key(wish) } });
    sent = null;
    begin(clip);
  } catch (error) {
    refused(error);
  }
  button.removeAttribute("aria-busy");
}

// The same wish sent twice because an answer was lost makes one clip.
let sent = null;
function key(wish) {
  const text = JSON.stringify(wish);
  if (sent?.text !== text) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    sent = { text, key: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
  }
  return sent.key;
}

async function look() {
  const choice = { captions: $("captions").value };
  const shape = composer.elements.aspect_ratio.value;
  if (shape) choice.aspect_ratio = shape;
  if (models.value) choice.model = models.value;
  if (!models.prepared.has_alpha) return choice;
  const kind = composer.elements.background.value;
  if (kind === "color") choice.background = $("background-color").value;
  const file = $("background-image").files[0];
  if (kind === "image" && file) {
    const form = new FormData();
    form.append("file", file);
    choice.background = { upload: (await upload("uploads", form, () => {})).id };
  }
  return choice;
}

function begin(clip) {
  current = clip;
  announced = "";
  stage.showAvatar(avatars.selected);
  library.add(clip);
  follow(clip);
  watcher.watch(clip.id);
  if (matchMedia("(max-width: 60rem)").matches) $("stage").scrollIntoView({ block: "center" });
}

function follow(change) {
  if (!current || change.id !== current.id) return;
  current = { ...current, ...change };
  const clip = current;
  $("progress-box").hidden = over(clip);
  $("stop").hidden = over(clip);
  $("generate").hidden = !over(clip);
  $("progress").value = clip.progress;
  $("progress-number").textContent = `${clip.progress}%`;
  $("progress-word").textContent = stageWords(clip);
  $("progress-hint").textContent = hint(clip);
  if (!over(clip) && clip.stage && clip.fragments?.done > 0) stage.preview(clip).catch(() => {});
  say(clip);
  if (over(clip)) done(clip);
}

function hint(clip) {
  const { done = 0, total = null } = clip.fragments ?? {};
  if (clip.status === "queued") return "It starts as soon as a worker is free.";
  if (clip.stage === "speech") return "The voice is being made; pictures follow sentence by sentence.";
  if (clip.stage === "rendering" && total) return `${done} of ${total} pieces are drawn.`;
  return "";
}

/** Screen readers hear each stage once, not each percent. */
function say(clip) {
  const text = over(clip) ? { succeeded: "Your video is ready.", failed: "The video failed.", canceled: "Cancelled." }[clip.status] : `${stageWords(clip)}.`;
  if (text === announced) return;
  announced = text;
  $("announce").textContent = text;
}

function done(clip) {
  current = null;
  if (clip.status === "succeeded") {
    stage.finish(clip);
    $("generate-hint").textContent = `${lasting(clip.result.duration_ms)}, ${clip.result.width}×${clip.result.height}. It stays here until ${until(clip)}.`;
    $("generate").textContent = "Generate another video";
    return;
  }
  stage.showAvatar(avatars.selected);
  if (clip.status === "failed") failed(explain(clip.failure ?? {}));
}

function until(clip) {
  const options = { day: "numeric", month: "long" };
  return new Date(clip.result.expires_at).toLocaleDateString(undefined, options);
}

function refused(error) {
  if (!(error instanceof Problem)) throw error;
  const field = { "/script": "script", "/upload": "audio" }[error.pointer];
  if (field) {
    words.showError(field, explain(error));
    $(field).focus();
    return;
  }
  if (error.pointer === "/model") models.load().catch(() => {}); // it went away meanwhile
  failed(explain(error));
}

function failed(text) {
  $("failure").textContent = text;
  $("failure").hidden = false;
}

function play(clip) {
  if (current) {
    window.open(clip.result.video_url, "_blank", "noopener");
    return;
  }
  stage.finish(clip);
  $("stage-video").focus({ preventScroll: true });
  $("stage").scrollIntoView({ block: "center" });
}

/** Put an earlier clip's wishes back into the form. */
function reuse(clip) {
  const input = composer.querySelector(`#avatars input[value="${CSS.escape(clip.avatar)}"]:not(:disabled)`);
  input?.click();
  if (clip.script) {
    $("tab-script").click();
    $("script").value = clip.script;
    $("script").dispatchEvent(new Event("input"));
  }
  if (clip.model) models.choose(clip.model);
  if (clip.voice && voices.known.has(clip.voice)) {
    voices.choose(clip.voice);
  }
  $("speed").value = clip.speed ?? 1;
  $("speed").dispatchEvent(new Event("input"));
  const shape = composer.querySelector(`[name="aspect_ratio"][value="${clip.aspect_ratio ?? ""}"]`);
  if (shape) shape.checked = true;
  $("captions").value = clip.captions ?? "sidecar";
  $("script").focus();
  composer.scrollIntoView();
  toast("The script and its settings are back in the form.");
}

const loading = [
  models.load().catch(() => {}), // their ids have to do
  avatars.load().catch((error) => {
    $("avatars").replaceChildren();
    failed(explain(error));
  }),
  voices.load().catch((error) => {
    voices.select.replaceChildren(new Option("Default voice", ""));
    toast(explain(error));
  }),
];
Promise.allSettled(loading).then(() => library.load());
