/**
 * <parley-avatar>: a live session in any page, without an iframe. docs/embedding.md.
 *
 *   <script type="module" src="https://parley.example/static/live/parley-widget.js"></script>
 *   <parley-avatar src="/start-conversation" poster="/lena.jpg" label="Talk with Lena"></parley-avatar>
 *
 * `src` is an address of your own server: a POST to it answers what POST /api/v1/sessions told your
 * server (`join_url`, or `ws_url` with `client_token`). `join-url` hands such an address over directly.
 */

import { Captions } from "./captions.js";
import { parseJoinUrl, ParleySession, stateWords } from "./parley-live.js";
import { ENDS, MICROPHONE, REFUSALS, troubleWords } from "./wording.js";

const STYLE = `
:host { --accent: var(--parley-accent, #0b6b5d); --on-accent: var(--parley-on-accent, #fff); --ink: #161b18; --paper: #fff; --soft: #4b554f; --line: #dfe3de;
  display: block; width: 100%; max-width: 26rem; color: var(--ink); font: 400 1rem/1.45 system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { :host { --ink: #eef2ef; --paper: #181d1a; --soft: #b8c2bc; --line: #3a443e; } }
:host([hidden]) { display: none; }
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
.frame { overflow: hidden; border: 1px solid var(--line); border-radius: var(--parley-radius, 1rem); background: var(--paper); }
.stage { position: relative; aspect-ratio: var(--ratio, 0.8); background: #141917; overflow: hidden; }
.stage > img, video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; object-position: 50% 25%; }
.badge, .state { position: absolute; top: .75rem; padding: .125rem .625rem; border-radius: 9rem; background: rgb(10 14 12 / 72%); color: #fff; font-size: .75rem; font-weight: 600; }
.badge { left: .75rem; } .state { right: .75rem; }
.caption { position: absolute; left: 50%; bottom: .75rem; transform: translateX(-50%); width: max-content; max-width: 92%; padding: .25rem .75rem; border-radius: .5rem; background: rgb(10 14 12 / 82%); color: #fff; text-align: center; text-wrap: balance; overflow-wrap: anywhere; }
.caption:empty { display: none; }
.cover { position: absolute; inset: 0; display: flex; flex-direction: column; justify-content: flex-end; gap: .625rem; padding: 1rem; background: linear-gradient(transparent 20%, rgb(10 14 12 / 82%)); color: #fff; }
.cover p:not(:empty) { padding: .5rem .75rem; border-radius: .5rem; background: rgb(10 14 12 / 78%); font-size: .9375rem; }
.row { display: flex; gap: .5rem; padding: .625rem; border-top: 1px solid var(--line); }
.row + .row { padding-top: 0; border-top: 0; }
.row > button:not(.main) { flex: 1; }
.note { padding: .5rem .75rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .875rem; }
button, input { font: inherit; min-height: 2.75rem; border-radius: .625rem; }
button { padding: 0 .875rem; border: 1px solid var(--line); background: transparent; color: inherit; font-weight: 560; cursor: pointer; }
button.main { border-color: var(--accent); background: var(--accent); color: var(--on-accent); }
button:disabled { opacity: .55; cursor: default; }
input { flex: 1; min-width: 0; padding: 0 .75rem; border: 1px solid var(--soft); background: transparent; color: inherit; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.quiet { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) { .busy { animation: breathe 1.4s ease-in-out infinite; } @keyframes breathe { 50% { opacity: .6; } } }
`;

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export class ParleyAvatar extends HTMLElement {
  session = null;
  #parts;
  #captions;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const parts = (this.#parts = this.#build());
    root.append(parts.frame);
    this.#captions = new Captions(parts.caption);
    parts.begin.addEventListener("click", () => this.start());
    parts.sound.addEventListener("click", () => this.session?.unblock());
    parts.mute.addEventListener("click", () => this.#toggleMicrophone());
    parts.stop.addEventListener("click", () => this.session?.interrupt());
    parts.end.addEventListener("click", () => this.session?.end());
    parts.form.addEventListener("submit", (event) => this.#send(event));
  }

  connectedCallback() {
    const { picture, begin } = this.#parts;
    picture.hidden = !this.hasAttribute("poster");
    if (!picture.hidden) picture.src = this.getAttribute("poster");
    if (!this.session) begin.textContent = this.getAttribute("label") ?? "Start talking";
  }

  disconnectedCallback() {
    // Moved within the page, it comes back at once; taken out, it leaves.
    queueMicrotask(() => this.isConnected || this.session?.close());
  }

  /** Fetch what opens a session, show what is recorded, join. Call it from a click. */
  async start() {
    if (this.session && !this.session.over) return;
    const { begin, told } = this.#parts;
    begin.disabled = true;
    try {
      const access = (this.#access ??= await this.#fetch());
      const agreed = this.#agreed || !(await this.#mustAgree(access));
      if (agreed) this.#join(access);
    } catch (error) {
      this.#access = null;
      told.textContent = REFUSALS[error.code] ?? "The conversation could not be started. Please try again.";
      this.#event("error", { code: error.code ?? "start_failed", detail: error.message });
    } finally {
      begin.disabled = false;
    }
  }

  end() {
    this.session?.end();
  }

  #access = null;
  #agreed = false;

  async #fetch() {
    if (this.hasAttribute("join-url")) {
      const joinUrl = new URL(this.getAttribute("join-url"), location.href);
      return { ...parseJoinUrl(joinUrl.href), origin: joinUrl.origin };
    }
    const response = await fetch(this.getAttribute("src"), { method: "POST", headers: { Accept: "application/json" } });
    const answer = await response.json();
    if (!response.ok) throw Object.assign(new Error(answer.detail ?? response.statusText), { code: answer.code });
    if (answer.join_url) return { ...parseJoinUrl(answer.join_url), origin: new URL(answer.join_url).origin };
    const wsUrl = new URL(answer.ws_url);
    const origin = wsUrl.origin.replace(/^ws/, "http");
    return { wsUrl: wsUrl.href, token: answer.client_token, id: /sessions\/([^/]+)/.exec(wsUrl.pathname)[1], origin };
  }

  /** What a customer has to know before anything is joined; asked once. */
  async #mustAgree({ origin, id, token }) {
    const response = await fetch(`${origin}/live/${encodeURIComponent(id)}/info`, {
      headers: { Authorization: `Bearer ${token}` },
      credentials: "omit",
    });
    const facts = await response.json();
    if (!response.ok) throw Object.assign(new Error(facts.detail), { code: facts.code });
    this.#learn(facts);
    if (!facts.record) return false;
    this.#agreed = true;
    this.#parts.told.textContent = facts.consent;
    this.#parts.begin.textContent = "Agree and start";
    this.#parts.begin.disabled = false;
    this.#parts.begin.focus();
    return true;
  }

  #learn({ avatar, language, record }) {
    const { picture, frame, video, caption, badge } = this.#parts;
    badge.textContent = record ? "AI · Recorded" : "AI";
    if (avatar?.width) frame.style.setProperty("--ratio", String(avatar.width / avatar.height));
    if (avatar?.preview_url && !this.hasAttribute("poster")) {
      picture.src = avatar.preview_url;
      picture.hidden = false;
    }
    if (avatar?.name) video.setAttribute("aria-label", `${avatar.name}, a computer-made person`);
    if (language) caption.lang = language;
  }

  #join({ wsUrl, token }) {
    const { video, cover, bar, told } = this.#parts;
    const mic = this.getAttribute("microphone") !== "off";
    this.session = new ParleySession({ wsUrl, token, video, mic });
    cover.hidden = true;
    bar.hidden = false;
    told.textContent = "";
    const on = (name, action) => this.session.addEventListener(name, ({ detail }) => action(detail));
    on("state", () => this.#show());
    on("phase", () => this.#show());
    on("network", () => this.#show());
    on("microphone", () => this.#show());
    on("info", (facts) => this.#learn(facts));
    on("caption", ({ text, startMs, endMs }) => (text ? this.#captions.show(text, startMs, endMs) : this.#captions.clear()));
    on("autoplay", ({ blocked }) => (this.#parts.sound.hidden = !blocked));
    on("error", ({ code, detail, fatal }) => fatal || this.#note(troubleWords(code, detail)));
    on("warning", ({ endsInSeconds }) => this.#note(`This conversation ends in ${endsInSeconds} seconds.`));
    on("ended", (detail) => this.#over(detail));
    for (const name of ["state", "phase", "caption", "transcript", "metrics", "error", "ended"]) {
      on(name, (detail) => this.#event(name, detail));
    }
    this.#show();
    return this.session.start();
  }

  #show() {
    const { state, video, picture, mute, stop, input, send } = this.#parts;
    const { session } = this;
    state.hidden = session.over;
    state.textContent = stateWords(session);
    state.classList.toggle("busy", !["live", "queued"].includes(session.state));
    const on = session.microphone === "on";
    mute.textContent = !on ? "Microphone" : session.muted ? "Unmute" : "Mute";
    mute.setAttribute("aria-pressed", String(on && session.muted));
    stop.disabled = !["speaking", "thinking"].includes(session.phase);
    input.disabled = send.disabled = session.state !== "live";
    const trouble = MICROPHONE[session.microphone];
    if (trouble) this.#note(trouble);
    if (session.state === "live" && video.videoWidth) picture.hidden = true;
  }

  #note(text) {
    const { note } = this.#parts;
    if (note.textContent === text) return;
    note.textContent = text ?? "";
    note.hidden = !text;
  }

  #toggleMicrophone() {
    const { session } = this;
    if (session.microphone === "on") session.muted = !session.muted;
    else {
      this.#note("");
      session.openMicrophone();
    }
  }

  #send(event) {
    event.preventDefault();
    const { input } = this.#parts;
    if (this.session?.sendText(input.value)) input.value = "";
  }

  #over({ state, reason }) {
    const { cover, told, begin, bar, picture, state: pill, sound } = this.#parts;
    this.#captions.clear();
    this.#note("");
    this.#access = null;
    this.#agreed = false;
    bar.hidden = pill.hidden = sound.hidden = true;
    cover.hidden = false;
    picture.hidden = !picture.src;
    told.textContent = state === "replaced" ? "This conversation goes on in another window." : (ENDS[reason] ?? REFUSALS[reason] ?? "The connection was lost.");
    // A `join-url` opens one session; with `src` there can be another.
    begin.hidden = !this.hasAttribute("src");
    begin.textContent = this.getAttribute("label") ?? "Start talking";
  }

  #event(name, detail) {
    this.dispatchEvent(new CustomEvent(`parley-${name}`, { detail, bubbles: true, composed: true }));
  }

  #build() {
    const picture = make("img", { alt: "", hidden: true });
    const video = make("video", { autoplay: true, playsInline: true, "aria-label": "The avatar", part: "video" });
    const badge = make("span", { className: "badge", part: "badge", title: "This person is computer-made" }, "AI");
    const state = make("span", { className: "state", part: "state", role: "status", hidden: true });
    const caption = make("p", { className: "caption", part: "caption", dir: "auto", "aria-live": "polite", "aria-atomic": "true" });
    const told = make("p", { role: "status" });
    const begin = make("button", { type: "button", className: "main", part: "button" });
    const cover = make("div", { className: "cover", part: "cover" }, told, begin);
    const sound = make("button", { type: "button", className: "main", hidden: true }, "Turn the sound on");
    const soundCover = make("div", {}, sound);
    soundCover.style.cssText = "position:absolute;inset:0;display:grid;place-items:center;pointer-events:none";
    sound.style.pointerEvents = "auto";
    const stage = make("div", { className: "stage" }, video, picture, badge, state, caption, soundCover, cover);
    const note = make("p", { className: "note", role: "status", hidden: true });
    const mute = make("button", { type: "button", part: "button" }, "Mute");
    const stop = make("button", { type: "button", part: "button", disabled: true }, "Interrupt");
    const end = make("button", { type: "button", part: "button" }, "End");
    const input = make("input", { placeholder: "Write a message", maxLength: 2000, dir: "auto", "aria-label": "Write a message", enterKeyHint: "send" });
    const send = make("button", { className: "main", part: "button" }, "Send");
    const form = make("form", { className: "row", autocomplete: "off" }, input, send);
    const bar = make("div", { hidden: true }, form, make("div", { className: "row" }, mute, stop, end));
    const frame = make("section", { className: "frame", part: "frame", "aria-label": "Conversation with an avatar" }, stage, note, bar);
    video.addEventListener("playing", () => (picture.hidden = true));
    return { frame, stage, picture, video, badge, state, caption, told, begin, cover, sound, note, mute, stop, end, input, send, form, bar };
  }
}

if (!customElements.get("parley-avatar")) customElements.define("parley-avatar", ParleyAvatar);
