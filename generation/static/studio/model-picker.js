// Which model draws the face: shown only where a face is ready for several. The face's first model is
// the service's own choice, so it is not sent; it may wait for its workers, the others must be there.

import { call } from "./api.js";
import { $, el } from "./dom.js";

export class ModelPicker {
  /** `use` is "clips" or "sessions". */
  constructor(use) {
    this.use = use;
    this.field = $("model-field");
    this.select = $("model");
    this.hint = $("model-hint");
    this.known = new Map();
    this.avatar = null;
    this.wanted = recall();
    this.select.addEventListener("change", () => {
      this.wanted = this.select.value;
      keep(this.wanted);
      this.#explain();
    });
  }

  /** What is known of the models; without it their ids have to do. */
  async load() {
    const models = await call("GET", "models");
    this.known = new Map(models.map((model) => [model.id, model]));
    if (this.avatar) this.offer(this.avatar);
  }

  offer(avatar) {
    this.avatar = avatar;
    const models = avatar.models ?? [];
    this.field.hidden = models.length < 2;
    this.select.replaceChildren(...models.map((id) => this.#option(id)));
    const wanted = [...this.select.options].find((option) => option.value === this.wanted && !option.disabled);
    this.select.value = wanted ? wanted.value : (models[0] ?? "");
    this.#explain();
  }

  choose(model) {
    this.wanted = model;
    if (this.avatar) this.offer(this.avatar);
  }

  /** What to ask for; nothing is the face's own. */
  get value() {
    const chosen = this.field.hidden ? "" : this.select.value;
    return chosen === this.avatar?.models?.[0] ? "" : chosen;
  }

  /** How the face was prepared for the chosen model. */
  get prepared() {
    const chosen = this.value || this.avatar?.models?.[0];
    return this.avatar?.preparations?.find((made) => made.model === chosen) ?? this.avatar;
  }

  #option(id) {
    const model = this.known.get(id);
    const first = id === this.avatar.models[0];
    const away = Boolean(model?.reasons[this.use]) && !first;
    const name = model?.name ?? id;
    return el("option", { value: id, disabled: away }, away ? `${name} (not available now)` : name);
  }

  #explain() {
    const model = this.known.get(this.select.value);
    this.hint.textContent = [model?.summary, model?.reasons[this.use]].filter(Boolean).join(" ");
    this.hint.hidden = !this.hint.textContent;
  }
}

function recall() {
  try {
    return localStorage.getItem("model") ?? "";
  } catch {
    return "";
  }
}

function keep(model) {
  try {
    localStorage.setItem("model", model);
  } catch {
    // storage is switched off: nothing to remember
  }
}
