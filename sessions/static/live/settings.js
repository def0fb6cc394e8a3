// The settings sheet of a call: devices, how one talks, and what was measured.

import { $, el } from "../studio/dom.js";
import { keep, kept } from "./kept.js";
import { FIGURES } from "./wording.js";

export class Settings {
  constructor({ captions, changed }) {
    this.changed = changed;
    this.microphone = kept("microphone");
    $("open-settings").addEventListener("click", () => this.#open());
    $("show-captions").checked = kept("captions") !== "off";
    captions($("show-captions").checked);
    $("show-captions").addEventListener("change", (event) => {
      keep("captions", event.target.checked ? "on" : "off");
      captions(event.target.checked);
    });
    for (const radio of document.querySelectorAll("input[name=talk]")) {
      radio.checked = radio.value === (kept("talk") || "open");
      radio.addEventListener("change", () => this.#talk(radio.value));
    }
    $("microphone").addEventListener("change", (event) => this.#choose(event.target.value));
    $("speaker").addEventListener("change", (event) => this.#speak(event.target.value));
    this.#figures();
  }

  use(session) {
    this.session = session;
    session.pushToTalk = kept("talk") === "push";
    if (session.canChooseSpeaker && kept("speaker")) session.setSpeaker(kept("speaker")).catch(() => {});
    session.addEventListener("devices", () => this.#devices());
    session.addEventListener("microphone", (event) => event.detail.state === "on" && this.#devices());
    for (const name of ["metrics", "stats"]) session.addEventListener(name, () => this.#figures());
  }

  #open() {
    this.#devices();
    this.#figures();
    $("settings").showModal();
  }

  async #devices() {
    if (!this.session) return;
    const { microphones, speakers } = await this.session.devices();
    fill($("microphone"), microphones, this.microphone);
    fill($("speaker"), speakers, kept("speaker"));
    $("speaker-field").hidden = !speakers.length;
  }

  async #choose(id) {
    this.microphone = id;
    keep("microphone", id);
    await this.session?.openMicrophone(id || undefined);
  }

  async #speak(id) {
    keep("speaker", id);
    await this.session?.setSpeaker(id).catch(() => {});
  }

  #talk(value) {
    keep("talk", value);
    if (this.session) this.session.pushToTalk = value === "push";
    this.changed();
  }

  #figures() {
    const { metrics, stats } = this.session ?? {};
    const rows = [];
    for (const [name, label, unit = "ms"] of FIGURES) {
      const value = metrics?.[name];
      if (typeof value === "number") rows.push([label, `${round(value)} ${unit}`]);
    }
    if (stats) {
      rows.push(["Picture", `${stats.width ?? "?"} × ${stats.height ?? "?"}, ${Math.round(stats.framesPerSecond)} fps`]);
      rows.push(["Network", `${Math.round(stats.kilobitsPerSecond)} kbit/s, ${stats.lossPercent.toFixed(1)}% lost`]);
      if (stats.roundTripMs !== null) rows.push(["There and back", `${Math.round(stats.roundTripMs)} ms`]);
      if (stats.jitterBufferMs !== null) rows.push(["Held back against jitter", `${Math.round(stats.jitterBufferMs)} ms`]);
      rows.push(["Format", `${(stats.codec ?? "?").replace("video/", "")}${stats.route === "relay" ? ", over a relay" : ""}`]);
    }
    if (!rows.length) rows.push(["Figures", "after the first answer"]);
    $("figures").replaceChildren(...rows.flatMap(([label, value]) => [el("dt", {}, label), el("dd", {}, value)]));
  }
}

function fill(select, devices, chosen) {
  const options = devices
    .filter((device) => device.deviceId !== "default")
    .map((device, index) => el("option", { value: device.deviceId }, device.label || `Device ${index + 1}`));
  select.replaceChildren(el("option", { value: "" }, "Default"), ...options);
  select.value = devices.some((device) => device.deviceId === chosen) ? chosen : "";
}

const round = (value) => (Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value));
