// "My clips": search, status, more, and what can be done with each.

import { call, explain } from "./api.js";
import { $, clock, confirmed, debounce, el, icon, toast, when } from "./dom.js";
import { over } from "./live.js";
import { downloadLink } from "./stage.js";

const PAGE = 12;
export const STATUS = {
  queued: ["Waiting", "busy"],
  running: ["In progress", "busy"],
  succeeded: ["Finished", "good"],
  failed: ["Failed", "bad"],
  canceled: ["Cancelled", "plain"],
};
const STAGES = { speech: "Speaking", rendering: "Drawing", assembling: "Joining" };

export function stageWords(clip) {
  if (clip.cancel_requested_at && !over(clip)) return "Cancelling";
  if (clip.status === "queued") return "Waiting for a free place";
  return STAGES[clip.stage] ?? STATUS[clip.status]?.[0] ?? "Working";
}

export class Library {
  #next = null;
  #asked = 0;

  constructor({ watcher, avatars, onPlay, onRetry }) {
    this.list = $("clip-list");
    this.watcher = watcher;
    this.avatars = avatars;
    this.onPlay = onPlay;
    this.onRetry = onRetry;
    this.rows = new Map();
    $("clip-search").addEventListener("input", debounce(300, () => this.load()));
    $("clip-status").addEventListener("change", () => this.load());
    $("clip-more").addEventListener("click", () => this.#more());
    watcher.addEventListener("clip", (event) => this.update(event.detail));
    this.#skeleton();
  }

  async load() {
    const asked = ++this.#asked;
    const query = new URLSearchParams({ limit: String(PAGE) });
    const search = $("clip-search").value.trim();
    if (search) query.set("search", search);
    if ($("clip-status").value) query.set("status", $("clip-status").value);
    let page;
    try {
      page = await call("GET", `clips?${query}`);
    } catch (error) {
      this.list.replaceChildren(el("li", { class: "notice bad" }, explain(error)));
      this.list.removeAttribute("aria-busy");
      return;
    }
    if (asked !== this.#asked) return; // an older answer that came late
    this.rows.clear();
    this.list.replaceChildren();
    this.#append(page);
    this.list.removeAttribute("aria-busy");
  }

  async #more() {
    const button = $("clip-more");
    button.setAttribute("aria-busy", "true");
    const known = this.list.childElementCount;
    try {
      this.#append(await call("GET", this.#next));
      this.list.children[known]?.querySelector("button, a")?.focus();
    } catch (error) {
      toast(explain(error));
    }
    button.removeAttribute("aria-busy");
  }

  #append(page) {
    for (const clip of page.results) {
      const node = this.#item(clip);
      this.rows.set(clip.id, { clip, node });
      this.list.append(node);
      if (!over(clip)) this.watcher.watch(clip.id);
    }
    this.#next = page.next;
    $("clip-more").hidden = !page.next;
    this.#emptiness();
  }

  add(clip) {
    const node = this.#item(clip);
    node.classList.add("new");
    this.rows.set(clip.id, { clip, node });
    this.list.prepend(node);
    this.#emptiness();
  }

  update(change) {
    const row = this.rows.get(change.id);
    if (!row) return;
    const clip = { ...row.clip, ...change };
    const focused = row.node.contains(document.activeElement) && document.activeElement.dataset.action;
    const node = this.#item(clip);
    row.node.replaceWith(node);
    this.rows.set(clip.id, { clip, node });
    if (focused) (node.querySelector(`[data-action="${focused}"]`) ?? node.querySelector("button, a"))?.focus();
  }

  #item(clip) {
    const [word, tone] = STATUS[clip.status] ?? [clip.status, "plain"];
    const busy = !over(clip);
    const title = clip.script?.trim() || "From a recording";
    const length = clip.result?.duration_ms;
    const body = el(
      "div",
      { class: "clip-body" },
      el("p", { class: "clip-text", dir: "auto", title: title.slice(0, 300) }, title),
      el(
        "div",
        { class: "clip-meta" },
        el("span", { class: `tag ${tone}` }, busy ? stageWords(clip) : word),
        el("span", { class: "faint num" }, busy ? `${clip.progress}%` : when(clip.created_at)),
      ),
    );
    if (busy) {
      const meter = el("progress", { class: "meter", max: 100, value: clip.progress });
      meter.setAttribute("aria-label", `Progress of: ${title.slice(0, 60)}`);
      body.append(meter);
    }
    if (clip.failure) body.append(el("p", { class: "clip-failure" }, explain(clip.failure)));
    body.append(this.#actions(clip, title));
    return el("li", { class: "card clip", id: `row-${clip.id}` }, this.#picture(clip, title, length), body);
  }

  #picture(clip, title, length) {
    const face = this.avatars.known.get(clip.avatar);
    const source = clip.result?.poster_url ?? face?.preview_url;
    const playable = Boolean(clip.result?.video_url);
    const button = el("button", { class: "clip-picture", type: "button", disabled: !playable, onclick: () => this.onPlay(clip) });
    button.dataset.action = "play";
    button.setAttribute("aria-label", playable ? `Play: ${title.slice(0, 80)}` : `Not ready: ${title.slice(0, 80)}`);
    if (source) button.append(el("img", { src: source, alt: "", loading: "lazy" }));
    if (playable) button.append(el("span", { class: "clip-play" }, icon("play")));
    if (length) button.append(el("span", { class: "clip-length" }, clock(length)));
    return button;
  }

  #actions(clip, title) {
    const row = el("div", { class: "clip-actions" });
    const act = (name, label, picture, action, style = "") => {
      const short = style.includes("icon") ? null : label;
      const button = el("button", { class: `button quiet small ${style}`, type: "button", title: label, onclick: action }, icon(picture), short);
      button.dataset.action = name;
      button.setAttribute("aria-label", `${label}: ${title.slice(0, 60)}`);
      row.append(button);
    };
    if (clip.result?.video_url) row.append(downloadLink(clip, "video", "mp4", "Download", "quiet small"));
    if (over(clip)) act("retry", clip.status === "succeeded" ? "Use again" : "Try again", "again", () => this.onRetry(clip));
    if (!over(clip)) act("cancel", "Cancel", "stop", () => this.#cancel(clip));
    else act("delete", "Delete", "trash", () => this.#delete(clip), "danger icon last");
    return row;
  }

  async #cancel(clip) {
    try {
      this.update(await call("POST", `clips/${clip.id}/cancel`));
    } catch (error) {
      toast(explain(error));
    }
  }

  async #delete(clip) {
    const agreed = await confirmed({
      title: "Delete this clip?",
      text: "Its video, captions and script are deleted for good.",
    });
    if (!agreed) return;
    try {
      await call("DELETE", `clips/${clip.id}`);
    } catch (error) {
      if (error.status !== 404) {
        toast(explain(error));
        return;
      }
    }
    const row = this.rows.get(clip.id);
    const next = row?.node.nextElementSibling ?? row?.node.previousElementSibling;
    row?.node.remove();
    this.rows.delete(clip.id);
    this.#emptiness();
    (next?.querySelector("button, a") ?? $("clip-search")).focus();
    toast("The clip was deleted.");
  }

  #emptiness() {
    const filtered = Boolean($("clip-search").value.trim() || $("clip-status").value);
    $("clip-empty").hidden = this.list.childElementCount > 0;
    $("clip-empty-title").textContent = filtered ? "Nothing found" : "No clips yet";
    $("clip-empty-text").textContent = filtered
      ? "No clip matches this search and status."
      : "Choose a face, write a sentence, press Generate video.";
  }

  #skeleton() {
    this.list.replaceChildren(
      ...Array.from({ length: 3 }, () => el("li", { class: "skeleton clip-skeleton", "aria-hidden": "true" })),
    );
  }
}
