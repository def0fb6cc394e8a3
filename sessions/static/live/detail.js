// One conversation: the recording beside what was said. A click on a line plays from there.

import { call, explain } from "../studio/api.js";
import { $, clock, confirmed, el, icon, lasting, toast } from "../studio/dom.js";
import { recordingWords, talkStatus } from "./talks.js";
import { sourceWords } from "./turns.js";
import { ENDS } from "./wording.js";

const id = $("talk").dataset.session;
const REFRESH_MS = 2000;
const AGAIN_MS = 10000;
const player = $("player");
let lines = [];
let voices = new Map();

async function load() {
  let talk;
  let transcript;
  try {
    [talk, transcript] = await Promise.all([
      call("GET", `sessions/${encodeURIComponent(id)}`),
      call("GET", `sessions/${encodeURIComponent(id)}/transcript`),
    ]);
  } catch (error) {
    $("failure").textContent = error.status === 404 ? "There is no such conversation, or it is not yours." : explain(error);
    $("failure").hidden = false;
    // A moment without a network is no end; a conversation that is not there stays away.
    if (error.status !== 404) setTimeout(load, AGAIN_MS);
    return;
  }
  $("failure").hidden = true;
  $("body").hidden = false;
  head(talk);
  words(transcript.turns ?? transcript.results ?? [], talk);
  recording(talk);
  actions(talk);
  const unfinished = talk.status !== "ended" || ["recording", "assembling"].includes(talk.recording?.status);
  if (unfinished) setTimeout(load, REFRESH_MS);
}

function head(talk) {
  const name = talk.avatar_name ?? "Avatar";
  $("title").textContent = `Conversation with ${name}`;
  document.title = `${name} · Parley`;
  const [word] = talkStatus(talk);
  const began = new Date(talk.started_at ?? talk.created_at);
  const moment = began.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  $("facts").textContent = [moment, talk.duration_ms ? lasting(talk.duration_ms) : null, word].filter(Boolean).join(" · ");
  const rows = [
    ["Persona", talk.persona_name],
    ["Voice", voices.get(talk.voice) ?? talk.voice],
    ["Ended", talk.status === "ended" ? ENDS[talk.end_reason]?.replace(/^You ended/, "The customer ended") : null],
    ["Kept until", talk.recording?.expires_at && talk.recording.status === "ready" ? new Date(talk.recording.expires_at).toLocaleDateString() : null],
    ["Sound", talk.recording?.layout === "stereo" && talk.recording.status === "ready" ? "Avatar on the left, customer on the right" : null],
  ].filter(([, value]) => value);
  $("more-facts").replaceChildren(...rows.flatMap(([label, value]) => [el("dt", {}, label), el("dd", {}, String(value))]));
}

// --- What was said -----------------------------------------------------------------------------

function words(turns, talk) {
  const name = talk.avatar_name ?? "Avatar";
  const shown = turns.flatMap((turn) => split(turn));
  $("lines-empty").hidden = shown.length > 0;
  if (shown.length === lines.length && shown.every((line, index) => line.text === lines[index].text)) return;
  lines = shown;
  $("lines").lang = talk.language ?? "";
  $("lines").replaceChildren(...shown.map((line) => item(line, name)));
}

/** An avatar's turn is shown by sentence where their times are known, a customer's as one. */
function split(turn) {
  const { who, interrupted, start_ms: startMs, end_ms: endMs, utterances = [], sources = [] } = turn;
  const whole = who === "avatar" ? (turn.heard_text ?? turn.text) || turn.text : turn.text;
  if (!whole && !interrupted) return [];
  if (who === "avatar" && !interrupted && utterances.length > 1) {
    const parts = sentences(utterances);
    const last = parts.length - 1;
    return parts.map((part, index) => ({ ...part, who, first: index === 0, interrupted: false, sources: index === last ? sources : [] }));
  }
  return [{ who, text: whole, startMs, endMs, first: true, interrupted, sources }];
}

/** What is spoken in pieces, for the sake of an early start, reads as whole sentences. */
function sentences(utterances) {
  const found = [];
  let open = null;
  for (const { text, start_ms: startMs, end_ms: endMs } of utterances) {
    if (open) Object.assign(open, { text: `${open.text} ${text}`, endMs });
    else found.push((open = { text, startMs, endMs }));
    if (/[.!?…。！？]["”’)]*\s*$/.test(text)) open = null;
  }
  return found;
}

function item(line, name) {
  const known = Number.isFinite(line.startMs);
  const text = el("span", { class: "line-text", dir: "auto" }, line.text, line.interrupted ? " " : null);
  if (line.interrupted) text.append(el("span", { class: "tag warn plain" }, "interrupted"));
  const time = el("span", { class: "line-time num" }, known ? clock(line.startMs) : "");
  const who = el("span", { class: "line-who" }, line.first ? (line.who === "user" ? "Customer" : name) : "");
  const button = el("button", { class: "line-button", type: "button", disabled: !known }, time, who, text);
  button.addEventListener("click", () => jump(line));
  line.node = el("li", { class: "line" }, button, line.sources?.length ? el("p", { class: "line-sources", dir: "auto" }, sourceWords(line.sources)) : null);
  line.node.dataset.who = line.who;
  return line.node;
}

function jump(line) {
  if (player.hidden || !Number.isFinite(line.startMs)) return;
  player.currentTime = line.startMs / 1000;
  player.play().catch(() => {});
}

function follow() {
  const at = player.currentTime * 1000;
  const begun = lines.filter((line) => Number.isFinite(line.startMs) && line.startMs <= at + 50);
  const current = begun.length ? begun.reduce((a, b) => (b.startMs >= a.startMs ? b : a)) : null;
  for (const line of lines) {
    const now = line === current;
    if ((line.node.getAttribute("aria-current") === "true") === now) continue;
    if (now) line.node.setAttribute("aria-current", "true");
    else line.node.removeAttribute("aria-current");
    if (now && $("follow").checked && !player.paused) show(line.node);
  }
}

/** Within the list only: the page itself stays where it is. */
function show(node) {
  const list = $("lines");
  const top = node.offsetTop - list.offsetTop;
  if (top < list.scrollTop || top + node.offsetHeight > list.scrollTop + list.clientHeight) {
    list.scrollTo({ top: top - list.clientHeight / 3, behavior: "smooth" });
  }
}

// --- The recording -----------------------------------------------------------------------------

function recording(talk) {
  const { recording: kept } = talk;
  const ready = kept?.status === "ready" && !(kept.expires_at && new Date(kept.expires_at) < new Date());
  if (ready && player.hidden) {
    player.src = `/api/v1/recordings/${encodeURIComponent(kept.id)}/video`;
    player.append(
      el("track", { kind: "captions", label: "Transcript", srclang: (talk.language ?? "en").split("-")[0], src: `/api/v1/sessions/${encodeURIComponent(id)}/transcript.vtt` }),
    );
    if (kept.width && kept.height) $("player-box").style.setProperty("--ratio", String(kept.width / kept.height));
    player.hidden = false;
  }
  $("follow-box").hidden = !ready;
  $("picture").hidden = ready || !talk.preview_url;
  if (talk.preview_url && !ready) $("picture").src = talk.preview_url;
  const word = ready ? "" : kept
    ? recordingWords[kept.status === "ready" ? "expired" : kept.status]
    : talk.status === "ended" ? "This conversation was not recorded." : "The conversation goes on.";
  $("player-word").hidden = !word;
  if ($("player-word").textContent !== word) $("player-word").textContent = word;
}

function actions(talk) {
  const box = $("actions");
  const wanted = `${talk.status} ${talk.recording?.status} ${lines.length > 0} ${talk.turns > 0}`;
  if (box.dataset.shown === wanted) return;
  box.dataset.shown = wanted;
  box.replaceChildren();
  if (talk.recording?.status === "ready") {
    box.append(download(`/api/v1/recordings/${encodeURIComponent(talk.recording.id)}/video?download=1`, "Video", "video", `${id}.mp4`));
  }
  if (lines.length) box.append(download(`/api/v1/sessions/${encodeURIComponent(id)}/transcript.vtt?download=1`, "Transcript", "vtt", `${id}.vtt`));
  if (talk.turns) box.append(el("a", { class: "button", href: `/sessions/${encodeURIComponent(id)}/latency` }, "Latency"));
  if (talk.status !== "ended") {
    const end = el("button", { class: "button danger", type: "button" }, "End");
    end.addEventListener("click", () => finish(end));
    box.append(end);
    return;
  }
  const erase = el("button", { class: "button danger", type: "button" }, icon("trash"), "Erase");
  erase.addEventListener("click", remove);
  box.append(erase);
}

function download(href, label, kind, name) {
  const link = el("a", { class: "button", href, download: name, "aria-label": `Download: ${label}` }, icon("download"), label);
  link.dataset.download = kind;
  return link;
}

async function finish(button) {
  button.setAttribute("aria-busy", "true");
  try {
    await call("POST", `sessions/${encodeURIComponent(id)}/end`, { json: {} });
    await load();
  } catch (error) {
    toast(explain(error));
  }
  button.removeAttribute("aria-busy");
}

async function remove() {
  const sure = await confirmed({
    title: "Erase this conversation?",
    text: "Its transcript and its recording are removed for good.",
    yes: "Erase",
  });
  if (!sure) return;
  try {
    await call("DELETE", `sessions/${encodeURIComponent(id)}`);
    location.assign("/sessions/");
  } catch (error) {
    toast(explain(error));
  }
}

for (const name of ["timeupdate", "seeked", "play"]) player.addEventListener(name, follow);
// The names of voices are a nicety: without them their ids are shown.
call("GET", "voices")
  .then((all) => (voices = new Map(all.map((voice) => [voice.id, voice.name]))))
  .catch(() => {})
  .then(load);
