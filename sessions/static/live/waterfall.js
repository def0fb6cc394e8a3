// The stages of one answer on one line of time: a lane for each kind of work, a bar for each sentence.
// What is drawn is for the eye; the table beside it holds the same in words.

import { el } from "../studio/dom.js";

/** Lanes from top to bottom: [stage, name, colour]. */
const LANES = [
  ["endpoint", "End of the voice", "listening"],
  ["asr", "Recognition", "listening"],
  ["retrieval", "Documents", "retrieval"],
  ["tool", "Tools", "tool"],
  ["llm", "Language model", "llm"],
  ["tts", "Voice", "tts"],
  ["render", "Drawing", "render"],
  ["playout", "Heard", "playout"],
];
const NAMES = new Map(LANES.map(([stage, name]) => [stage, name]));
/** What the wait for an answer is made of: [part, name]. */
export const WAITS = [
  ["listening", "Listening"],
  ["retrieval", "Documents"],
  ["llm", "First word"],
  ["sentence", "First sentence"],
  ["tts", "Voice"],
  ["render", "Drawing"],
  ["playout", "Sending"],
];
const STEPS = [20, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000];
const NARROW = "(max-width: 44rem)"; // as in latency.css
const DIGIT = 8; // pixels of a sentence's number, and of the room around it

export const duration = (ms) => (Math.abs(ms) < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);

/** When the answer was heard, in ms of its line; undefined where it was not. */
export const heardAt = (stages) => stages.find((stage) => stage.name === "playout")?.from_ms;

/** The line of an answer, `whole` or until shortly after it was heard. */
export function waterfall(stages, whole) {
  const heard = heardAt(stages);
  const last = Math.max(...stages.map((stage) => stage.to_ms));
  const end = Math.max(1, whole || heard === undefined ? last : Math.min(last, heard * 1.25));
  const chart = el("div", { class: "fall", "aria-hidden": "true" });
  for (const [stage, name, colour] of LANES) {
    const found = stages.filter((one) => one.name === stage && one.from_ms < end);
    if (found.length) chart.append(el("span", { class: "fall-name" }, name), lane(pieces(found), colour, end));
  }
  const ticks = el("div", { class: "fall-ticks num" });
  const step = STEPS.find((one) => end / one <= (narrow() ? 4 : 6)) ?? STEPS.at(-1);
  for (let at = 0; at <= end; at += step) {
    const edge = at === 0 ? " first" : at > end * 0.92 ? " last" : "";
    ticks.append(placed(el("span", { class: `fall-tick${edge}` }, duration(at)), at / end));
  }
  chart.append(el("span"), ticks);
  if (heard !== undefined && heard <= end) {
    const marks = el("div", { class: "fall-marks" });
    marks.append(placed(el("span", { class: "fall-heard" }), heard / end));
    chart.append(marks);
  }
  return chart;
}

/** The model's work as a whole, where its sentences are told, is their sum: the sentences are drawn. */
function pieces(stages) {
  const told = stages.filter((stage) => stage.piece !== undefined);
  const whole = stages.filter((stage) => stage.piece === undefined);
  const last = Math.max(...told.map((stage) => stage.to_ms));
  // Its first word, and what it did behind the last sentence, are known of the whole alone.
  return told.length ? [...told.map((stage, at) => (at === 0 && whole[0]?.first_ms ? { ...stage, first_ms: whole[0].first_ms } : stage)), ...whole.filter((stage) => stage.from_ms >= last)] : whole;
}

function lane(stages, colour, end) {
  const line = el("div", { class: "fall-lane" });
  line.dataset.part = colour;
  for (const stage of stages) {
    const until = Math.min(stage.to_ms, end);
    const bar = placed(el("span", { class: "fall-bar", title: words(stage) }), stage.from_ms / end, (until - stage.from_ms) / end);
    const waited = Math.min(Math.max((stage.first_ms ?? stage.from_ms) - stage.from_ms, 0), until - stage.from_ms);
    const work = el("span", { class: "fall-work" });
    work.style.setProperty("--left", `${(100 * waited) / Math.max(1, until - stage.from_ms)}%`);
    const number = numbers(stage);
    if (number && ((until - stage.from_ms - waited) / end) * pixels() >= DIGIT * (number.length + 1)) work.textContent = number;
    bar.append(work);
    line.append(bar);
  }
  return line;
}

function placed(node, from, width) {
  node.style.setProperty("--from", `${100 * from}%`);
  if (width !== undefined) node.style.setProperty("--width", `${100 * width}%`);
  return node;
}

function words(stage) {
  const what = [NAMES.get(stage.name) ?? stage.name, stage.label, sentence(stage)].filter(Boolean).join(", ");
  const first = stage.first_ms === undefined ? "" : `, first result at ${duration(stage.first_ms)}`;
  return `${what}: ${duration(stage.from_ms)} to ${duration(stage.to_ms)}${first}`;
}

function sentence(stage) {
  const number = numbers(stage);
  return number && `${stage.pieces ? "sentences" : "sentence"} ${number}`;
}

function numbers({ piece, pieces: several }) {
  if (piece === undefined) return "";
  return several ? `${piece}–${piece + several - 1}` : String(piece);
}

const narrow = () => matchMedia(NARROW).matches;

/** About how long a line is: it is drawn before it stands in the page. */
const pixels = () => (narrow() ? innerWidth - 70 : Math.min(innerWidth, 1120) - 200);

/** The same as a table. */
export function table(stages, title) {
  const head = ["Stage", "Of", "From", "First result", "To", "Lasted", "By"];
  const rows = stages.map((stage) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, NAMES.get(stage.name) ?? stage.name),
      el("td", {}, stage.label ?? (sentence(stage) || "the answer")),
      el("td", {}, duration(stage.from_ms)),
      el("td", {}, stage.first_ms === undefined ? "–" : duration(stage.first_ms)),
      el("td", {}, duration(stage.to_ms)),
      el("td", {}, duration(stage.to_ms - stage.from_ms)),
      el("td", {}, stage.provider ?? "–"),
    ),
  );
  const made = el("table", { class: "plain num" }, el("caption", { class: "sr-only" }, title));
  made.append(el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, ...rows));
  return el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": title }, made);
}
