// What is said: a script with its estimated length, or a recording.

import { call, explain, Problem, upload } from "./api.js";
import { $, debounce, lasting } from "./dom.js";

const ESTIMATE_AFTER_MS = 450;

export class Words {
  #voice;
  #asked = null;

  constructor(voice) {
    this.#voice = voice;
    this.upload = null;
    this.mode = "script";
    this.script = $("script");
    this.limit = Number(this.script.maxLength);
    const later = debounce(ESTIMATE_AFTER_MS, () => this.#estimate());
    this.script.addEventListener("input", () => {
      this.#count();
      this.showError("script", "");
      later();
    });
    $("speed").addEventListener("input", () => {
      this.#speedWords();
      later();
    });
    voice.addEventListener("change", later);
    this.#tabs();
    this.#files();
    this.#count();
  }

  get speed() {
    return Number($("speed").value);
  }

  /** The part of the request that says what is said. */
  request() {
    if (this.mode === "audio") return { upload: this.upload?.id };
    const wish = { script: this.script.value.trim() };
    if (this.#voice.value) wish.voice = this.#voice.value;
    if (this.speed !== 1) wish.speed = this.speed;
    return wish;
  }

  /** Say what is missing, at its place; returns whether nothing is. */
  check() {
    if (this.mode === "audio" && !this.upload) {
      this.showError("audio", "Choose a recording first.");
      $("audio").focus();
      return false;
    }
    if (this.mode === "script" && !this.script.value.trim()) {
      this.showError("script", "Write what the avatar should say.");
      this.script.focus();
      return false;
    }
    return true;
  }

  showError(field, text) {
    const node = $(`${field}-error`);
    node.textContent = text;
    node.hidden = !text;
    const input = $(field);
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  #count() {
    const length = this.script.value.length;
    $("script-count").textContent =
      length > this.limit * 0.8
        ? `${length.toLocaleString()} of ${this.limit.toLocaleString()} characters`
        : `${length.toLocaleString()} character${length === 1 ? "" : "s"}`;
    if (!length) $("estimate").textContent = "";
  }

  #speedWords() {
    const speed = this.speed;
    const words = speed === 1 ? "Normal" : `${speed.toFixed(2).replace(/0$/, "")}×, ${speed < 1 ? "slower" : "faster"}`;
    $("speed-value").textContent = words;
    $("speed").setAttribute("aria-valuetext", words);
  }

  async #estimate() {
    this.#asked?.abort();
    const { script, voice, speed } = { speed: 1, ...this.request() };
    if (this.mode !== "script" || !script) return;
    this.#asked = new AbortController();
    try {
      const answer = await call("POST", "clips/estimate", {
        json: { script, ...(voice && { voice }), speed },
        signal: this.#asked.signal,
      });
      $("estimate").textContent = `About ${lasting(answer.duration_ms)}`;
    } catch (error) {
      if (error instanceof Problem) $("estimate").textContent = "";
      if (error instanceof Problem && error.pointer === "/script") this.showError("script", explain(error));
    }
  }

  #tabs() {
    const tabs = [$("tab-script"), $("tab-audio")];
    const choose = (tab) => {
      this.mode = tab.id === "tab-audio" ? "audio" : "script";
      for (const other of tabs) {
        const on = other === tab;
        other.setAttribute("aria-selected", String(on));
        other.tabIndex = on ? 0 : -1;
        $(other.getAttribute("aria-controls")).hidden = !on;
      }
    };
    for (const tab of tabs) {
      tab.addEventListener("click", () => choose(tab));
      tab.addEventListener("keydown", (event) => {
        if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
        const next = tabs[event.key === "Home" ? 0 : event.key === "End" ? 1 : 1 - tabs.indexOf(tab)];
        choose(next);
        next.focus();
        event.preventDefault();
      });
    }
  }

  #files() {
    const drop = $("drop");
    $("audio").addEventListener("change", (event) => this.#take(event.target.files[0]));
    $("audio-remove").addEventListener("click", () => this.#clear());
    for (const name of ["dragenter", "dragover"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.add("over");
      });
    }
    for (const name of ["dragleave", "drop"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.remove("over");
      });
    }
    drop.addEventListener("drop", (event) => this.#take(event.dataTransfer.files[0]));
  }

  async #take(file) {
    if (!file) return;
    this.upload = null;
    this.showError("audio", "");
    $("audio-name").textContent = file.name;
    $("audio-info").textContent = "Uploading…";
    $("audio-file").hidden = false;
    const form = new FormData();
    form.append("file", file);
    try {
      this.upload = await upload("uploads", form, (share) => {
        $("audio-info").textContent = share < 1 ? `Uploading, ${Math.round(share * 100)}%` : "Checking…";
      });
      if (this.upload.kind !== "audio") throw new Problem(422, { detail: "This is a picture. Choose a recording." });
      $("audio-info").textContent = lasting(this.upload.duration_ms);
      $("audio-player").src = URL.createObjectURL(file);
      $("audio-player").hidden = false;
    } catch (error) {
      this.#clear();
      this.showError("audio", explain(error));
    }
  }

  #clear() {
    this.upload = null;
    $("audio").value = "";
    $("audio-file").hidden = true;
    $("audio-player").hidden = true;
    $("audio-player").removeAttribute("src");
  }
}
