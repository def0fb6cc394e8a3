// Where clips stand: server-sent events for the few that matter now, polling for the rest and
// wherever events do not get through.

import { call } from "./api.js";

const MOST_STREAMS = 3; // browsers allow six connections to one host
const POLL_MS = 2000;
const EVENTS = ["clip.progress", "clip.succeeded", "clip.failed", "clip.canceled"];
export const over = (clip) => ["succeeded", "failed", "canceled"].includes(clip.status);

export class Watcher extends EventTarget {
  #streams = new Map();
  #polled = new Set();
  #timer = null;

  watch(id) {
    if (this.#streams.has(id)) return;
    if (!("EventSource" in window) || this.#streams.size >= MOST_STREAMS) {
      this.#poll(id);
      return;
    }
    const source = new EventSource(`/api/v1/clips/${id}/events`);
    this.#streams.set(id, source);
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => this.#heard(id, event.data));
    }
    source.addEventListener("error", () => {
      // A closed stream does not come back by itself; one that reconnects is asked for news meanwhile.
      if (source.readyState === EventSource.CLOSED) this.#streams.delete(id);
      this.#poll(id);
    });
  }

  forget(id) {
    this.#streams.get(id)?.close();
    this.#streams.delete(id);
    this.#polled.delete(id);
  }

  #heard(id, data) {
    let clip;
    try {
      clip = JSON.parse(data);
    } catch {
      return;
    }
    clip = clip.data ?? clip;
    this.#polled.delete(id);
    if (clip.status === undefined || over(clip)) this.#ask([id]);
    else this.#tell({ ...clip, id });
  }

  #poll(id) {
    this.#polled.add(id);
    this.#timer ??= setTimeout(() => this.#round(), POLL_MS);
  }

  async #round() {
    this.#timer = null;
    const ids = [...this.#polled];
    if (!ids.length) return;
    await this.#ask(ids);
    if (this.#polled.size) this.#timer = setTimeout(() => this.#round(), POLL_MS);
  }

  async #ask(ids) {
    try {
      const { results } = await call("GET", `clips?ids=${ids.join(",")}&limit=100`);
      for (const clip of results) this.#tell(clip);
    } catch {
      // away for a moment: the next round asks again
      for (const id of ids) this.#poll(id);
    }
  }

  #tell(clip) {
    if (over(clip)) this.forget(clip.id);
    this.dispatchEvent(new CustomEvent("clip", { detail: clip }));
  }
}
