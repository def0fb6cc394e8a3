// The console: what goes on now, every three seconds.

import { call, explain } from "../studio/api.js";
import { $, clock, confirmed, el, toast } from "../studio/dom.js";

const REFRESH_MS = 3000;
const STATES = { created: ["Not joined", "plain"], queued: ["Waiting", "warn"] };
const PHASES = { idle: ["Quiet", "good"], listening: ["Listening", "good"], thinking: ["Thinking", "busy"], speaking: ["Speaking", "busy"] };
const rows = new Map();

async function look() {
  try {
    const { results } = await call("GET", `${location.origin}/live/console/sessions`);
    show(results);
    $("failure").hidden = true;
  } catch (error) {
    $("failure").textContent = explain(error);
    $("failure").hidden = false;
  }
}

function show(sessions) {
  const present = new Set(sessions.map((session) => session.id));
  for (const [id, row] of rows) {
    if (present.has(id)) continue;
    row.node.remove();
    rows.delete(id);
  }
  for (const session of sessions) {
    if (!rows.has(session.id)) rows.set(session.id, make(session));
    update(rows.get(session.id), session);
  }
  const active = sessions.filter((session) => session.status === "active").length;
  const queued = sessions.filter((session) => session.status === "queued").length;
  $("summary").textContent = `${active} of ${$("console").dataset.places} places taken${queued ? `, ${queued} waiting` : ""}`;
  $("empty").hidden = sessions.length > 0;
}

function make(session) {
  const cell = (label) => {
    const node = el("td");
    node.dataset.label = label;
    return node;
  };
  const cells = {
    avatar: cell("Avatar"), owner: cell("Account"), state: cell("State"), lasting: cell("Lasting"), answer: cell("Answer begins"),
    voice: cell("Voice begins"), lips: cell("Lips begin"), host: cell("Process"), actions: cell(""),
  };
  const end = el("button", { class: "button small danger", type: "button", "aria-label": `End: ${session.avatar_name}, ${session.owner}` }, "End");
  end.addEventListener("click", () => finish(session));
  cells.actions.append(end);
  const node = el("tr", {}, ...Object.values(cells));
  $("rows").append(node);
  return { node, cells };
}

function update({ cells }, session) {
  const [word, tone] = STATES[session.status] ?? PHASES[session.phase] ?? [session.phase, "plain"];
  const ms = (name) => (typeof session.metrics[name] === "number" ? `${Math.round(session.metrics[name])} ms` : "–");
  put(cells.avatar, session.avatar_name);
  put(cells.owner, session.owner);
  if (cells.state.textContent !== word) cells.state.replaceChildren(el("span", { class: `tag ${tone}` }, word));
  put(cells.lasting, session.started_at ? clock(Date.now() - new Date(session.started_at)) : "–");
  put(cells.answer, ms("llm_first_token_ms"));
  put(cells.voice, ms("tts_first_pcm_ms"));
  put(cells.lips, ms("avatar_first_frame_ms"));
  put(cells.host, session.host || "–");
}

function put(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

async function finish(session) {
  const sure = await confirmed({
    title: "End this conversation?",
    text: `${session.owner} is talking with ${session.avatar_name}. They are told that somebody of the staff ended it.`,
    yes: "End it",
  });
  if (!sure) return;
  try {
    await call("POST", `${location.origin}/live/console/${encodeURIComponent(session.id)}/end`);
    toast("The conversation was ended.");
    look();
  } catch (error) {
    toast(explain(error));
  }
}

look();
setInterval(() => document.hidden || look(), REFRESH_MS);
