// The faces: a radio group of cards. The idle loop plays on the card that has the pointer or the
// focus; it is loaded only then.

import { call } from "./api.js";
import { $, el, icon } from "./dom.js";

const SEARCH_FROM = 9;
const REFRESH_MS = 2500;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class AvatarPicker extends EventTarget {
  constructor() {
    super();
    this.box = $("avatars");
    this.known = new Map();
    this.box.addEventListener("change", () => this.#changed());
    for (const [on, off] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
      this.box.addEventListener(on, (event) => this.#move(event, true));
      this.box.addEventListener(off, (event) => this.#move(event, false));
    }
    $("avatar-search").addEventListener("input", (event) => this.#filter(event.target.value));
    $("avatar-search").addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
  }

  get selected() {
    return this.known.get(this.box.querySelector("input:checked")?.value) ?? null;
  }

  async load() {
    const avatars = [];
    let path = "avatars?limit=100";
    while (path && avatars.length < 400) {
      const page = await call("GET", path);
      avatars.push(...page.results);
      path = page.next;
    }
    this.#show(avatars.filter((avatar) => avatar.status !== "failed"));
  }

  #show(avatars) {
    const before = this.selected?.id ?? recall();
    this.known = new Map(avatars.map((avatar) => [avatar.id, avatar]));
    this.box.replaceChildren(...avatars.map((avatar) => card(avatar)));
    this.box.removeAttribute("aria-busy");
    if (!avatars.length) {
      this.box.append(el("p", { class: "muted" }, "There are no avatars yet. Somebody of the staff has to add one."));
    }
    $("avatar-search").hidden = avatars.length < SEARCH_FROM;
    const ready = avatars.filter((avatar) => avatar.status === "ready");
    const chosen = ready.find((avatar) => avatar.id === before) ?? ready[0];
    if (chosen) this.box.querySelector(`input[value="${CSS.escape(chosen.id)}"]`).checked = true;
    this.box.querySelector("input:checked")?.parentElement.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (this.selected) this.dispatchEvent(new Event("change"));
    // Those still being prepared appear as ready without a reload.
    if (avatars.some((avatar) => avatar.status === "preparing")) {
      setTimeout(() => this.load().catch(() => {}), REFRESH_MS);
    }
  }

  #changed() {
    try {
      localStorage.setItem("avatar", this.selected.id);
    } catch {
      // storage is switched off: nothing to remember
    }
    this.dispatchEvent(new Event("change"));
  }

  #move(event, on) {
    const node = event.target.closest?.(".avatar");
    if (!node || calm.matches || node.contains(event.relatedTarget)) return;
    const avatar = this.known.get(node.querySelector("input").value);
    if (!avatar?.idle_url) return;
    let video = node.querySelector("video");
    if (on && !video) {
      video = el("video", { muted: true, loop: true, playsInline: true, preload: "auto", tabIndex: -1, src: avatar.idle_url });
      video.setAttribute("aria-hidden", "true");
      video.addEventListener("playing", () => video.classList.add("on"));
      node.querySelector(".avatar-face").append(video);
    }
    if (on) video.play().catch(() => {});
    else if (video) {
      video.pause();
      video.classList.remove("on");
    }
  }

  #filter(text) {
    const wanted = text.trim().toLowerCase();
    for (const node of this.box.querySelectorAll(".avatar")) {
      node.hidden = !node.textContent.toLowerCase().includes(wanted);
    }
  }
}

function recall() {
  try {
    return localStorage.getItem("avatar");
  } catch {
    return null;
  }
}

function card(avatar) {
  const ready = avatar.status === "ready";
  const face = el("div", { class: "avatar-face" });
  if (avatar.preview_url) {
    face.append(el("img", { src: avatar.preview_url, alt: "", loading: "lazy", decoding: "async" }));
  }
  const note = ready ? avatar.description || "Ready" : `Being prepared, ${avatar.progress ?? 0}%`;
  const name = el("div", { class: "avatar-name" }, el("strong", {}, avatar.name), el("span", { title: note }, note));
  const input = el("input", { type: "radio", name: "avatar", value: avatar.id, disabled: !ready });
  input.setAttribute("aria-label", ready ? avatar.name : `${avatar.name}, being prepared`);
  if (!ready) face.append(el("span", { class: "tag busy avatar-state" }, "Preparing"));
  return el("label", { class: "avatar" }, input, face, name, el("span", { class: "avatar-tick" }, icon("check")));
}
