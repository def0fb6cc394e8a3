// The transcript beside a call. Text goes in as text nodes only.

import { el } from "../studio/dom.js";

const NEAR_THE_END = 80; // pixels

export class Turns {
  #nodes = new Map();
  #partial = null;

  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.name = "Avatar";
  }

  /** Show an entry, new or changed. */
  put(entry) {
    const stay = this.#followed();
    let parts = this.#nodes.get(entry);
    if (!parts) {
      parts = this.#make(entry.who);
      this.#nodes.set(entry, parts);
      this.list.insertBefore(parts.node, this.#partial?.node ?? null);
      this.empty.hidden = true;
    }
    parts.said.textContent = entry.text;
    parts.coming.textContent = entry.pending ? ` ${entry.pending}` : "";
    parts.mark.hidden = !entry.interrupted;
    const from = sourceWords(entry.sources ?? []);
    if (parts.from.textContent !== from) parts.from.textContent = from;
    parts.from.hidden = !from || !entry.text;
    parts.node.hidden = !entry.text && !entry.pending && !entry.interrupted;
    parts.node.dataset.done = String(entry.done);
    this.#follow(stay);
  }

  /** What the customer is saying, before it is final. */
  partial(text) {
    const stay = this.#followed();
    if (!text) {
      this.#partial?.node.remove();
      this.#partial = null;
      return;
    }
    if (!this.#partial) {
      this.#partial = this.#make("user");
      this.#partial.node.classList.add("partial");
      this.list.append(this.#partial.node);
      this.empty.hidden = true;
    }
    this.#partial.said.textContent = text;
    this.#follow(stay);
  }

  /** Something that happened, between what was said. */
  note(text) {
    const stay = this.#followed();
    this.list.insertBefore(el("li", { class: "turn-note" }, text), this.#partial?.node ?? null);
    this.empty.hidden = true;
    this.#follow(stay);
  }

  #make(who) {
    const said = el("span", { class: "said" });
    const coming = el("span", { class: "coming" });
    const mark = el("span", { class: "tag warn plain", hidden: true }, "interrupted");
    const from = el("p", { class: "turn-from", dir: "auto", hidden: true });
    const node = el(
      "li",
      { class: "turn" },
      el("span", { class: "turn-who" }, who === "user" ? "You" : this.name),
      el("p", { class: "turn-text", dir: "auto" }, said, coming, " ", mark),
      from,
    );
    node.dataset.who = who;
    return { node, said, coming, mark, from };
  }

  /** Scroll along, unless somebody reads further up. */
  #followed() {
    const { scrollHeight, scrollTop, clientHeight } = this.list;
    return scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
  }

  #follow(stay) {
    if (stay) this.list.scrollTop = this.list.scrollHeight;
  }
}

/** Where an answer comes from: each document once, with its pages. */
export function sourceWords(sources) {
  const pages = new Map();
  for (const { name, page } of sources) {
    const known = pages.get(name) ?? new Set();
    pages.set(name, page ? known.add(page) : known);
  }
  const named = [...pages].map(([name, found]) => {
    const told = [...found].sort((a, b) => a - b).join(", ");
    return told ? `${name} (${found.size > 1 ? "pages" : "page"} ${told})` : name;
  });
  return named.length ? `From ${named.join(" · ")}` : "";
}

/** As a plain text file. */
export function asText(entries, name) {
  return entries
    .filter((entry) => entry.text)
    .map((entry) => `${entry.who === "user" ? "You" : name}: ${entry.text}${entry.interrupted ? " (interrupted)" : ""}`)
    .join("\n\n");
}
