// A dialog over hundreds of voices: words, language and provider narrow them, each can be heard.

import { explain, Problem } from "./api.js";
import { el, icon, toast } from "./dom.js";
import { named, sample } from "./voices.js";

const PAGE = 60;
const GENDERS = { female: "female", male: "male" };
const base = (language) => language.split("-")[0].toLowerCase();
const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

export class VoiceBrowser {
  #all = [];
  #shown = PAGE;
  #sound = new Audio();
  #playing = null;

  constructor(onChoose) {
    this.onChoose = onChoose;
    this.search = el("input", { class: "input", type: "search", placeholder: "Search names", autocomplete: "off", "aria-label": "Search voices" });
    this.language = el("select", { class: "select", "aria-label": "Language" });
    this.provider = el("select", { class: "select", "aria-label": "Provider" });
    this.list = el("ul", { class: "voice-list", "aria-label": "Voices", tabIndex: -1 });
    this.count = el("p", { class: "faint num", role: "status" });
    const close = el("button", { class: "button", type: "button", onclick: () => this.dialog.close() }, "Close");
    this.dialog = el(
      "dialog",
      { class: "voices", "aria-labelledby": "voices-title" },
      el(
        "div",
        { class: "dialog-body" },
        el("h2", { id: "voices-title" }, "Choose a voice"),
        el("div", { class: "voice-filters" }, this.search, this.language, this.provider),
      ),
      this.list,
      el("div", { class: "dialog-foot" }, this.count, close),
    );
    document.body.append(this.dialog);
    for (const filter of [this.search, this.language, this.provider]) filter.addEventListener("input", () => this.#narrow());
    this.dialog.addEventListener("close", () => this.#silence());
    this.#sound.addEventListener("ended", () => this.#silence());
  }

  set voices(voices) {
    this.#all = voices.map((voice) => ({ ...voice, words: folded(`${voice.name} ${named(voice.language)} ${voice.language} ${voice.provider}`) }));
    const languages = [...new Set(voices.map((voice) => base(voice.language)))].map((code) => [code, named(code)]);
    languages.sort((one, other) => one[1].localeCompare(other[1]));
    this.language.replaceChildren(new Option("All languages", ""), ...languages.map(([code, word]) => new Option(word, code)));
    const providers = [...new Set(voices.map((voice) => voice.provider))];
    this.provider.replaceChildren(new Option("All providers", ""), ...providers.map((id) => new Option(id, id)));
  }

  open({ chosen, language }) {
    this.chosen = chosen;
    this.search.value = "";
    this.provider.value = "";
    const own = language || base(this.#all.find((voice) => voice.id === chosen)?.language ?? "");
    this.language.value = [...this.language.options].some((option) => option.value === own) ? own : "";
    this.#narrow();
    this.dialog.showModal();
    this.search.focus();
  }

  #narrow() {
    this.#shown = PAGE;
    this.list.scrollTop = 0;
    this.#draw();
  }

  #draw() {
    const words = folded(this.search.value).split(/\s+/).filter(Boolean);
    const found = this.#all.filter(
      (voice) =>
        (!this.language.value || base(voice.language) === this.language.value) &&
        (!this.provider.value || voice.provider === this.provider.value) &&
        words.every((word) => voice.words.includes(word)),
    );
    const rows = found.slice(0, this.#shown).map((voice) => this.#row(voice));
    if (found.length > this.#shown) rows.push(el("li", {}, el("button", { class: "button wide", type: "button", onclick: () => this.#more() }, "Show more")));
    if (!found.length) rows.push(el("li", { class: "empty" }, "No voice is called that. Try fewer words, or another language."));
    this.list.replaceChildren(...rows);
    this.count.textContent = `${found.length} of ${this.#all.length} voices`;
  }

  #more() {
    this.#shown += PAGE;
    this.#draw();
  }

  #row(voice) {
    const facts = [named(voice.language), GENDERS[voice.gender], voice.cloned ? "your copy" : voice.provider].filter(Boolean);
    const choose = el("button", { class: "voice-choose", type: "button" }, el("strong", {}, voice.name), el("span", { class: "faint" }, facts.join(" · ")));
    choose.addEventListener("click", () => {
      this.dialog.close();
      this.onChoose(voice.id);
    });
    const listen = el("button", { class: "button small quiet", type: "button", "aria-label": `Listen to ${voice.name}` }, icon("play"));
    listen.addEventListener("click", () => this.#listen(voice, listen));
    const row = el("li", { class: "voice-item" }, choose, listen);
    if (voice.id === this.chosen) {
      row.dataset.chosen = "";
      choose.setAttribute("aria-current", "true");
    }
    return row;
  }

  async #listen(voice, button) {
    const again = this.#playing === button;
    this.#silence();
    if (again) return;
    this.#playing = button;
    button.setAttribute("aria-busy", "true");
    try {
      const source = await sample(voice.id, voice);
      if (this.#playing !== button) return;
      this.#sound.src = source;
      await this.#sound.play();
      button.replaceChildren(icon("stop"));
      button.setAttribute("aria-pressed", "true");
    } catch (error) {
      if (this.#playing === button) this.#silence();
      if (error.name !== "AbortError") toast(error instanceof Problem ? explain(error) : "This voice cannot be played right now.");
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  #silence() {
    this.#sound.pause();
    this.#playing?.replaceChildren(icon("play"));
    this.#playing?.removeAttribute("aria-pressed");
    this.#playing = null;
  }
}
