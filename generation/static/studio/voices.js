// Voices, grouped by language, with a sample to listen to. Where there are many, the field offers a
// few of them, and a dialog searches all.

import { call, explain, Problem } from "./api.js";
import { $, el, toast } from "./dom.js";
import { VoiceBrowser } from "./voice-browser.js";

const FEW = 40;

const languages = new Intl.DisplayNames(undefined, { type: "language" });

export class VoicePicker extends EventTarget {
  constructor() {
    super();
    this.select = $("voice");
    this.button = $("listen");
    this.known = new Map();
    this.byHand = false; // once the person chose, a new face no longer changes the voice
    this.sound = new Audio();
    this.select.addEventListener("change", () => {
      this.byHand = true;
      this.#silence();
      this.dispatchEvent(new Event("change"));
    });
    this.button.addEventListener("click", () => this.#listen());
    this.sound.addEventListener("ended", () => this.#silence());
  }

  get value() {
    return this.select.value;
  }

  async load() {
    const results = await call("GET", "voices");
    this.known = new Map(results.map((voice) => [voice.id, voice]));
    const offered = results.length > FEW ? chosenFew(results) : results;
    const groups = Map.groupBy ? Map.groupBy(offered, (voice) => voice.language) : grouped(offered);
    const blocks = [...groups].map(([language, voices]) => {
      const group = el("optgroup", { label: named(language) });
      group.append(...voices.map((voice) => el("option", { value: voice.id }, voice.name)));
      return group;
    });
    this.select.replaceChildren(el("option", { value: "" }, "Default voice"), ...blocks);
    this.button.disabled = results.length === 0;
    if (offered.length < results.length) this.#offerAll(results);
    this.suggest(this.suggested);
  }

  /** The voice that belongs to the chosen face. */
  suggest(id) {
    this.suggested = id;
    if (this.byHand || !this.known.size) return;
    this.#show(this.known.has(id) ? id : "");
    this.#silence();
  }

  /** A voice that the person chose, wherever it was found. */
  choose(id) {
    if (!this.known.has(id)) return;
    this.#show(id);
    this.select.dispatchEvent(new Event("change"));
  }

  #show(id) {
    const voice = this.known.get(id);
    if (voice && ![...this.select.options].some((option) => option.value === id)) {
      this.select.append(el("option", { value: id }, `${voice.name} (${named(voice.language)})`));
    }
    this.select.value = id;
  }

  #offerAll(results) {
    this.browser ??= new VoiceBrowser((id) => this.choose(id));
    this.browser.voices = results;
    if ($("voice-all")) return;
    const open = el("button", { class: "link-button", type: "button", id: "voice-all" }, `All ${results.length} voices`);
    open.addEventListener("click", () => this.browser.open({ chosen: this.value, language: this.language ?? "" }));
    this.select.after(open);
  }

  async #listen() {
    if (!this.sound.paused || this.button.getAttribute("aria-busy") === "true") {
      this.#silence();
      return;
    }
    const id = this.value || this.suggested || this.known.keys().next().value;
    const voice = this.known.get(id);
    this.button.setAttribute("aria-busy", "true");
    $("listen-label").textContent = "Loading";
    try {
      this.sound.src = await sample(id, voice);
      await this.sound.play();
      $("listen-label").textContent = "Stop";
    } catch (error) {
      this.#silence();
      if (error.name !== "AbortError") toast(error instanceof Problem ? explain(error) : "This voice cannot be played right now.");
    } finally {
      this.button.removeAttribute("aria-busy");
    }
  }

  #silence() {
    this.sound.pause();
    $("listen-label").textContent = "Listen";
  }
}

/** One's own, and those of the provider that the installation asks first. */
function chosenFew(voices) {
  const first = voices.find((voice) => !voice.cloned)?.provider;
  return voices.filter((voice) => voice.cloned || voice.provider === first).slice(0, FEW);
}

const samples = new Map();

/** The address of a sample. It is made on the first request, and lies in the object store then. */
export async function sample(id, voice) {
  if (samples.has(id)) return samples.get(id);
  const address = voice?.preview_url ?? `/api/v1/voices/${encodeURIComponent(id)}/preview`;
  const response = await fetch(address, { credentials: "same-origin", redirect: "manual" });
  const redirected = response.type === "opaqueredirect";
  if (!redirected && !response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
  const url = redirected ? address : URL.createObjectURL(await response.blob());
  samples.set(id, url);
  return url;
}

export function named(language) {
  try {
    return languages.of(language);
  } catch {
    return language || "Other";
  }
}

function grouped(voices) {
  const groups = new Map();
  for (const voice of voices) groups.set(voice.language, [...(groups.get(voice.language) ?? []), voice]);
  return groups;
}
