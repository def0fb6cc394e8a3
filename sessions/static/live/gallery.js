// The gallery: who answers, with which voice and persona, recorded or not. Then the call.

import { call, explain } from "../studio/api.js";
import { AvatarPicker } from "../studio/avatars.js";
import { $, el } from "../studio/dom.js";
import { ModelPicker } from "../studio/model-picker.js";
import { VoicePicker } from "../studio/voices.js";
import { keep, kept } from "./kept.js";
import { remember } from "./tickets.js";

const ADVICE = {
  concurrency_limit_exceeded: "End one of your conversations first.",
  concurrent_sessions_exceeded: "End one of your conversations first.",
};
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const names = new Intl.DisplayNames(undefined, { type: "language" });
const base = (language) => (language ?? "").split("-")[0].toLowerCase();

const avatars = new AvatarPicker();
const models = new ModelPicker("sessions");
const voices = new VoicePicker();
let personas = [];

/** One's own first, newest first; then those of everybody, led by the one who answers by default. */
function byUse(one, other) {
  const rank = (persona) => (persona.shared ? (persona.slug === "support" ? 1 : 2) : 0);
  return rank(one) - rank(other) || (other.created_at ?? "").localeCompare(one.created_at ?? "");
}

function named(language) {
  try {
    return names.of(language);
  } catch {
    return language;
  }
}

function showFace() {
  const avatar = avatars.selected;
  if (!avatar) return;
  const picture = $("stage-picture");
  picture.hidden = !avatar.preview_url;
  if (avatar.preview_url) picture.src = avatar.preview_url;
  const video = $("stage-idle");
  video.hidden = true;
  if (avatar.idle_url && !calm.matches) {
    video.src = avatar.idle_url;
    video.onplaying = () => (video.hidden = false);
    video.play().catch(() => {});
  } else {
    video.removeAttribute("src");
  }
  models.offer(avatar);
  $("stage-name").textContent = avatar.name;
  $("start").textContent = `Talk with ${avatar.name}`;
  $("start").disabled = false;
  suggestVoice();
}

/** The persona's own voice comes first, then the face's; a language narrows both. */
function suggestVoice() {
  const persona = personas.find((one) => one.id === $("persona").value);
  const wanted = base(persona?.language || $("language").value);
  const fits = (id) => id && (!wanted || base(voices.known.get(id)?.language) === wanted);
  const own = [persona?.voice, avatars.selected?.default_voice].find(fits);
  const first = [...voices.known.values()].find((voice) => wanted && base(voice.language) === wanted)?.id;
  voices.language = wanted;
  voices.suggest(own ?? first ?? "");
  narrowVoices(wanted);
}

function narrowVoices(wanted) {
  for (const option of $("voice").querySelectorAll("option[value]")) {
    const voice = voices.known.get(option.value);
    option.hidden = option.disabled = Boolean(voice && wanted && base(voice.language) !== wanted);
  }
  for (const group of $("voice").querySelectorAll("optgroup")) {
    group.hidden = ![...group.children].some((option) => !option.hidden);
  }
  if ($("voice").selectedOptions[0]?.disabled) {
    voices.byHand = false;
    voices.suggest(voices.suggested);
  }
}

function showPersonas() {
  const language = $("language").value;
  const fitting = personas.filter((persona) => !language || base(persona.language) === language);
  const chosen = $("persona").value || kept("persona");
  $("persona").replaceChildren(...fitting.map((one) => el("option", { value: one.id }, one.name)));
  if (!fitting.length) $("persona").append(el("option", { value: "" }, "None"));
  if (fitting.some((one) => one.id === chosen)) $("persona").value = chosen;
  showPersona();
}

function showPersona(event) {
  const persona = personas.find((one) => one.id === $("persona").value);
  if (event && persona) keep("persona", persona.id);
  const hint = $("persona-hint");
  hint.textContent = persona?.description ?? "";
  hint.hidden = !hint.textContent;
  suggestVoice();
}

function showLanguages() {
  const all = [...personas, ...voices.known.values()].map((one) => base(one.language)).filter(Boolean);
  const options = [...new Set(all)].sort().map((code) => el("option", { value: code }, named(code)));
  $("language").replaceChildren(el("option", { value: "" }, "Any"), ...options);
}

function complain(error) {
  const box = $("failure");
  box.textContent = [explain(error), ADVICE[error.code]].filter(Boolean).join(" ");
  box.hidden = false;
}

async function start(event) {
  event.preventDefault();
  const avatar = avatars.selected;
  const button = $("start");
  if (!avatar || button.getAttribute("aria-busy") === "true") return;
  $("failure").hidden = true;
  button.setAttribute("aria-busy", "true");
  const json = { avatar: avatar.id, record: $("record").checked };
  if (voices.value) json.voice = voices.value;
  if ($("persona").value) json.persona = $("persona").value;
  if (models.value) json.model = models.value;
  try {
    const made = await call("POST", "sessions", { json });
    remember(made.id, { token: made.client_token, agreed: json.record, go: true });
    location.assign(`/live/${encodeURIComponent(made.id)}`);
  } catch (error) {
    if (error.pointer === "/model") models.load().catch(() => {}); // it went away meanwhile
    complain(error);
    button.removeAttribute("aria-busy");
  }
}

async function begin() {
  $("gallery").addEventListener("submit", start);
  $("persona").addEventListener("change", showPersona);
  $("language").addEventListener("change", showPersonas);
  avatars.addEventListener("change", showFace);
  // Back from a call: the page may come out of the browser's memory as it was left.
  addEventListener("pageshow", () => $("start").removeAttribute("aria-busy"));
  models.load().catch(() => {}); // their ids have to do
  const [, , list] = await Promise.all([avatars.load(), voices.load(), call("GET", "personas?limit=100")]);
  personas = list.results.sort(byUse);
  showLanguages();
  showPersonas();
  showFace();
}

begin().catch((error) => {
  $("avatars").removeAttribute("aria-busy");
  complain(error);
});
