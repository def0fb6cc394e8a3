// Captions: an utterance arrives when its first sound is played, and is shown in pieces that can
// be read at a glance, each for as long as its share of the utterance lasts.

const LONGEST = 84;
// The end of speech clears the caption, and is told; this is for when that never comes.
const LINGER_MS = 20_000;

const WIDE = /[\u2e80-\u9fff\uac00-\ud7a3\uff00-\uff60]/; // characters that take the room of two
const MARKS = [", ", "; ", ": ", ". ", "! ", "? ", "、", "。", "！", "？"];

/** Cut at the ends of clauses where there are any, else between words. */
export function pieces(text, longest = WIDE.test(text) ? LONGEST / 2 : LONGEST) {
  const found = [];
  let rest = text.trim();
  while (rest.length > longest) {
    const head = rest.slice(0, longest + 1);
    const clause = Math.max(...MARKS.map((mark) => head.lastIndexOf(mark) + mark.trimEnd().length));
    const word = head.lastIndexOf(" ");
    const cut = clause > longest * 0.45 ? clause : word > longest * 0.3 ? word : longest;
    found.push(rest.slice(0, cut).trim());
    rest = rest.slice(cut).trim();
  }
  if (rest) found.push(rest);
  return found;
}

export class Captions {
  #timers = [];

  constructor(node) {
    this.node = node;
    this.on = true;
  }

  show(text, startMs, endMs) {
    this.#stop();
    const parts = pieces(text);
    const whole = parts.reduce((sum, part) => sum + part.length, 0) || 1;
    const lasting = Math.max(0, (endMs ?? 0) - (startMs ?? 0));
    let before = 0;
    for (const part of parts) {
      const at = (lasting * before) / whole;
      if (at === 0) this.#put(part);
      else this.#timers.push(setTimeout(() => this.#put(part), at));
      before += part.length;
    }
    if (lasting) this.#timers.push(setTimeout(() => this.#put(""), lasting + LINGER_MS));
  }

  /** At once: nobody says it any more. */
  clear() {
    this.#stop();
    this.#put("");
  }

  #put(text) {
    this.node.textContent = this.on ? text : "";
  }

  #stop() {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
  }
}
