// Where the time of a conversation went: what was usual, and for each answer what its wait was made of.

import { call, explain } from "../studio/api.js";
import { $, clock, el } from "../studio/dom.js";
import { WAITS, duration, table, waterfall } from "./waterfall.js";
import { FIGURES, MORE_FIGURES } from "./wording.js";

const id = $("latency").dataset.session;
// All answers come each time, up to a megabyte of a long conversation.
const REFRESH_MS = 10000;
const LABELS = new Map([...FIGURES, ...MORE_FIGURES].map(([name, label]) => [name, label]));
const SOURCES = { voice: "spoken", text: "typed", say: "told to say", upload: "from a recording" };
const open = new Set();
let shown = "";
let told = null;
let questions = new Map();

async function load() {
  let talk;
  let version;
  try {
    const where = `sessions/${encodeURIComponent(id)}`;
    [talk, told] = await Promise.all([call("GET", where), call("GET", `${where}/latency`)]);
    version = JSON.stringify(told);
    if (version !== shown) questions = asked((await call("GET", `${where}/transcript`)).turns);
  } catch (error) {
    $("failure").textContent = error.status === 404 ? "There is no such conversation, or it is not yours." : explain(error);
    $("failure").hidden = false;
    // A moment without a network is no end; a conversation that is not there stays away.
    if (error.status !== 404) setTimeout(load, REFRESH_MS);
    return;
  }
  $("failure").hidden = true;
  $("back").textContent = `Conversation with ${talk.avatar_name ?? "the avatar"}`;
  if (version !== shown) show(new Date(talk.started_at ?? talk.created_at));
  shown = version;
  if (talk.status !== "ended") setTimeout(load, REFRESH_MS);
}

function show(began) {
  const { turns, measured_turns: measured } = told;
  $("body").hidden = !turns.length;
  $("empty").hidden = turns.length > 0;
  const more = measured > turns.length ? `the newest ${turns.length} are shown` : null;
  const moment = began.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const facts = [moment, measured ? `${measured} answer${measured === 1 ? "" : "s"}` : null, more].filter(Boolean).join(" · ");
  if ($("facts").textContent !== facts) $("facts").textContent = facts;
  if (!turns.length) return;
  if (!shown) openAtFirst(turns);
  tiles();
  legend(turns);
  answers(turns);
  $("figures").replaceChildren(...told.figures.map(figure));
}

/** What was said before each turn of the avatar, and what that turn itself begins with. */
function asked(turns) {
  const found = new Map();
  let before = null;
  for (const turn of turns) {
    if (turn.who === "avatar") found.set(turn.turn, before?.text || turn.heard_text || turn.text);
    before = turn.who === "user" ? turn : null;
  }
  return found;
}

/** The address may name an answer; otherwise the one that was waited for longest is open. */
function openAtFirst(turns) {
  const named = Number(/^#answer-(\d+)$/.exec(location.hash)?.[1]);
  const slowest = turns.reduce((one, other) => (total(other) > total(one) ? other : one));
  open.add(turns.some(({ turn }) => turn === named) ? named : slowest.turn);
}

const total = (turn) => turn.waits.reduce((sum, wait) => sum + wait.ms, 0);

// --- What is usual -----------------------------------------------------------------------------

function tiles() {
  const found = ["response_ms", "first_audible_ms"].map((name) => told.figures.find((one) => one.name === name)).find(Boolean);
  const after = found?.name === "response_ms" ? "after the customer's last word" : "after the question";
  const rows = found ? [["Usual wait", found.median], ["95% waited at most", found.p95], ["Longest wait", found.max]] : [];
  $("tiles").replaceChildren(...rows.map(([label, ms]) => el("div", { class: "card wait" }, el("dt", {}, label), el("dd", {}, duration(ms), el("span", { class: "faint" }, after)))));
}

function figure({ name, unit, n, ...values }) {
  const word = (value) => (unit === "ms" ? duration(value) : unit === "fps" ? `${value} fps` : String(value));
  const cells = [values.median, values.p95, values.min, values.max].map((value) => el("td", {}, word(value)));
  return el("tr", {}, el("th", { scope: "row" }, LABELS.get(name) ?? name), ...cells, el("td", {}, String(n)));
}

// --- The answers -------------------------------------------------------------------------------

function legend(turns) {
  const present = new Set(turns.flatMap((turn) => turn.waits.map((wait) => wait.name)));
  const parts = WAITS.filter(([part]) => present.has(part));
  $("legend").replaceChildren(
    ...parts.map(([part, name]) => {
      const item = el("li", {}, el("span", { class: "legend-colour", "aria-hidden": "true" }), name);
      item.dataset.part = part;
      return item;
    }),
  );
}

function answers(turns) {
  const focused = document.activeElement?.closest?.(".answer")?.id;
  const longest = Math.max(1, ...turns.map(total));
  $("answers").replaceChildren(...turns.map((turn) => answer(turn, longest)));
  if (focused) document.querySelector(`#${focused} > details > summary`)?.focus();
}

function answer(turn, longest) {
  const details = el("details", { open: open.has(turn.turn) }, heading(turn, longest));
  const fill = () => details.childElementCount === 1 && details.append(inside(turn));
  details.addEventListener("toggle", () => {
    if (details.open) {
      open.add(turn.turn);
      fill();
    } else {
      open.delete(turn.turn);
    }
  });
  if (details.open) fill();
  return el("li", { class: "answer", id: `answer-${turn.turn}` }, details);
}

function heading(turn, longest) {
  const waited = total(turn);
  const bar = el("span", { class: "wait-bar", "aria-hidden": "true" });
  for (const { name, ms } of turn.waits) {
    const part = el("span", { title: `${wordOf(name)}: ${duration(ms)}` });
    part.dataset.part = name;
    part.style.setProperty("--width", `${(100 * ms) / longest}%`);
    bar.append(part);
  }
  const parts = turn.waits.map(({ name, ms }) => `${wordOf(name)} ${duration(ms)}`).join(", ");
  const mark = turn.status === "failed" ? "failed" : turn.interrupted ? "interrupted" : null;
  return el(
    "summary",
    { class: "answer-head" },
    el("span", { class: "answer-time num faint" }, turn.start_ms === null ? "–" : clock(turn.start_ms)),
    el("span", { class: "answer-words", dir: "auto" }, questions.get(turn.turn) || "Answer"),
    mark ? el("span", { class: `tag plain ${mark === "failed" ? "bad" : "warn"}` }, mark) : el("span", { class: "tag plain" }, SOURCES[turn.source] ?? turn.source),
    bar,
    el("span", { class: "answer-total num" }, waited ? duration(waited) : "not heard"),
    el("span", { class: "sr-only" }, parts && `: ${parts}`),
  );
}

const wordOf = (part) => WAITS.find(([name]) => name === part)?.[1] ?? part;

function inside(turn) {
  if (!turn.stages.length) return el("p", { class: "faint answer-inside" }, "The stages of this answer were not kept.");
  const title = `Stages of the answer at ${turn.start_ms === null ? "no known time" : clock(turn.start_ms)}`;
  return el(
    "div",
    { class: "answer-inside" },
    waterfall(turn.stages, $("view").value === "whole"),
    el("details", { class: "answer-table" }, el("summary", {}, "As a table"), table(turn.stages, title)),
  );
}

$("view").addEventListener("change", () => answers(told.turns));
load();
