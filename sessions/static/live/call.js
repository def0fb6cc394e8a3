// The call page: what the session says becomes a picture, words and controls.

import { $, agreed, clock, el, lasting } from "../studio/dom.js";
import { Captions } from "./captions.js";
import { ParleySession, stateWords } from "./parley-live.js";
import { Settings } from "./settings.js";
import { recall, remember, takeTicket } from "./tickets.js";
import { asText, Turns } from "./turns.js";
import { ENDS, HANDOVER, MICROPHONE, REFUSALS, troubleWords } from "./wording.js";

const body = $("call");
const id = body.dataset.session;
const narrow = matchMedia("(max-width: 60rem)");
const captions = new Captions($("caption"));
const turns = new Turns($("turns"), $("turns-empty"));
let session = null;
let facts = {};
let startedAt = 0;
let held = null; // what is held down: the space bar or the button
let lock = null;

const announce = (text) => ($("announce").textContent = text);
const avatarName = () => facts.avatar?.name ?? "Avatar";

// --- Before the call ---------------------------------------------------------------------------

async function begin() {
  showSide(!narrow.matches);
  $("controls").inert = true; // until there is a call to control
  const ticket = takeTicket(id);
  if (!ticket) return finish("failed", "token_invalid");
  try {
    learn(await information(ticket.token));
  } catch (problem) {
    if (problem.code) return finish(problem.code === "session_ended" ? "ended" : "failed", problem.code);
    // Nobody joins without having read what is recorded.
    if (!ticket.agreed) return finish("failed", "unreachable");
  }
  if (facts.status === "ended") return finish("ended", facts.end_reason ?? "session_ended");
  if (ticket.go || ticket.joined) return join(ticket, ticket.typing !== true);
  $("lobby").hidden = false;
  $("lobby-title").focus({ preventScroll: true });
}

async function information(token) {
  const response = await fetch(`/live/${encodeURIComponent(id)}/info`, {
    headers: { Authorization: `Bearer ${token}`, Accept: "application/json" },
    credentials: "same-origin",
    cache: "no-store",
  });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), { code: answer.code ?? "not_found" });
  return answer;
}

/** What is known of the session: from the page's own question, later from the session itself. */
function learn(known) {
  facts = { ...facts, ...known, avatar: { ...facts.avatar, ...known.avatar } };
  const { name, preview_url: preview, width, height } = facts.avatar;
  if (name) {
    $("name").textContent = turns.name = name;
    document.title = `${name} · Parley`;
    $("lobby-title").textContent = `Talk with ${name}`;
    $("lobby-text").textContent = `${name} is computer-made, and answers by itself.`;
    $("video").setAttribute("aria-label", `${name}, a computer-made person`);
  }
  if (preview && $("face").src !== preview) {
    $("face").src = $("backdrop").src = preview;
    $("face").hidden = $("backdrop").hidden = false;
  }
  if (width && height) $("frame").style.setProperty("--ratio", String(width / height));
  if (facts.language) $("caption").lang = $("turns").lang = facts.language;
  $("rec").hidden = !facts.record;
  $("lobby-consent").hidden = !facts.record;
  $("consent-text").textContent = facts.consent ?? "";
  $("join").textContent = facts.record ? "Agree and start talking" : "Start talking";
  $("join-typing").textContent = facts.record ? "Agree and only type" : "Only type";
}

function join(ticket, withMicrophone) {
  $("lobby").hidden = true;
  $("controls").inert = false;
  remember(id, { ...ticket, go: false, joined: true, agreed: true, typing: !withMicrophone });
  const wsUrl = new URL(`/ws/sessions/${encodeURIComponent(id)}/`, location.href);
  session = new ParleySession({
    wsUrl,
    token: ticket.token,
    video: $("video"),
    mic: withMicrophone,
    deviceId: settings.microphone,
  });
  globalThis.parley = session; // for support, in the console
  listen();
  settings.use(session);
  session.start();
  showMicrophone();
  keepAwake();
}

// --- What the session says ---------------------------------------------------------------------

function listen() {
  const on = (name, action) => session.addEventListener(name, (event) => action(event.detail));
  on("state", ({ state, previous }) => placed(state, previous));
  on("phase", showState);
  on("network", () => {
    showState();
    if (session.network === "weak") announce("Weak network");
  });
  on("info", learn);
  on("caption", ({ text, startMs, endMs }) => (text ? captions.show(text, startMs, endMs) : captions.clear()));
  on("partial", ({ text }) => turns.partial(text));
  on("transcript", ({ entry }) => {
    if (entry.who === "user") turns.partial("");
    turns.put(entry);
  });
  on("handover", () => {
    turns.note(HANDOVER);
    hint(HANDOVER);
    announce(HANDOVER);
  });
  on("microphone", showMicrophone);
  on("autoplay", ({ blocked }) => {
    $("unmute").hidden = !blocked;
    if (blocked) announce("The sound is off. Press: Turn the sound on.");
  });
  on("warning", ({ endsInSeconds }) => countDown(endsInSeconds));
  on("faults", ({ faults }) => (faults.length ? hint(troubleWords(faults[0], "A part of the service is away."), true) : hint("")));
  on("error", ({ code, detail, fatal }) => fatal || trouble(code, detail));
  on("ended", ({ state, reason }) => finish(state, reason));
}

function placed(state, previous) {
  body.dataset.state = state;
  showState();
  $("waiting").hidden = state !== "queued";
  if (state === "live") {
    startedAt ||= Date.now();
    if (previous === "reconnecting") hint("");
  }
  if (state !== previous) announce(stateWords(session));
  $("message").disabled = $("send").disabled = state !== "live" && state !== "queued";
  if (state !== "live") captions.clear();
}

function showState() {
  body.dataset.phase = session.phase;
  const words = stateWords(session);
  // The place in line stands large in the middle; up here there is room for a word.
  $("status-words").textContent = session.state === "queued" ? "In line" : session.state === "reconnecting" ? "Reconnecting" : words;
  const weak = session.state === "live" && session.network === "weak";
  const tone = weak || session.state === "reconnecting" ? "warn" : session.state === "live" ? "good" : "busy";
  $("status").className = `tag status ${tone}`;
  $("interrupt").disabled = !(session.state === "live" && ["speaking", "thinking"].includes(session.phase));
  if (session.state === "queued") {
    $("place").hidden = !session.position;
    $("place").textContent = session.position ?? "";
    $("waiting-title").textContent = session.position ? `Number ${session.position} in line` : "Waiting for a free place";
  }
  if (session.state === "reconnecting") hint(words, true);
}

let hinting = 0;
function hint(words, stay = false) {
  clearTimeout(hinting);
  $("banner").hidden = !words;
  $("banner-words").textContent = words;
  if (words && !stay) hinting = setTimeout(() => hint(""), 8000);
}

function trouble(code, detail) {
  const words = troubleWords(code, detail);
  hint(words);
  announce(words);
}

let counting = 0;
function countDown(seconds) {
  if (!counting) announce(`This conversation ends in ${seconds} seconds.`); // said once, shown all the time
  clearInterval(counting);
  const until = Date.now() + seconds * 1000;
  const tell = () => {
    const left = Math.max(0, until - Date.now());
    hint(`This conversation ends in ${clock(left)}`, true);
    if (!left) clearInterval(counting);
  };
  tell();
  counting = setInterval(tell, 1000);
}

// --- The microphone ----------------------------------------------------------------------------

function showMicrophone() {
  const { microphone, muted, pushToTalk } = session;
  if (!session.talking) held = null; // let go by itself: the page was left, or the connection lost
  const on = microphone === "on";
  const button = $("mic");
  button.dataset.mic = microphone;
  button.dataset.silent = String(!on || (!held && (muted || pushToTalk)));
  button.dataset.talking = String(Boolean(held));
  button.setAttribute("aria-pressed", String(on && muted));
  const words = !on
    ? { asking: "Allow…", off: "Use microphone" }[microphone] ?? "Try again"
    : pushToTalk
      ? held ? "Let go to send" : "Hold to talk"
      : muted ? "Unmute" : "Mute";
  $("mic-label").textContent = words;
  const notice = MICROPHONE[microphone] ?? "";
  if ($("mic-notice").textContent !== notice) {
    $("mic-notice").textContent = notice;
    $("mic-notice").hidden = !notice;
    if (notice && !narrow.matches) $("message").focus();
  }
}

function pressMicrophone() {
  if (!session || session.over) return;
  if (session.microphone !== "on") {
    session.openMicrophone(settings.microphone);
    remember(id, { ...recall(id), typing: false });
  } else if (!session.pushToTalk) {
    session.muted = !session.muted;
    announce(session.muted ? "Microphone muted" : "Microphone on");
  }
}

function hold(what) {
  if (held || !session || session.over || session.microphone !== "on") return;
  held = what;
  session.talk(true);
  showMicrophone();
}

function letGo(what) {
  if (held !== what) return;
  held = null;
  session.talk(false);
  showMicrophone();
}

/** Space talks when it would do nothing else: not in a text box, not on a button. */
const spare = (node) => !node?.closest?.("input, textarea, select, button, a, dialog, [contenteditable]");

function keys() {
  addEventListener("keydown", (event) => {
    if (!session || session.over || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.code === "Space" && spare(event.target) && (session.pushToTalk || session.muted)) {
      event.preventDefault();
      if (!event.repeat) hold("space");
    } else if (event.key === "Escape" && !document.querySelector("dialog[open]") && !$("interrupt").disabled) {
      session.interrupt();
    }
  });
  addEventListener("keyup", (event) => event.code === "Space" && letGo("space"));
  addEventListener("blur", () => letGo(held));
  const mic = $("mic");
  mic.addEventListener("click", pressMicrophone);
  mic.addEventListener("pointerdown", (event) => {
    if (!session?.pushToTalk || session.microphone !== "on") return;
    mic.setPointerCapture(event.pointerId);
    hold("button");
  });
  for (const name of ["pointerup", "pointercancel"]) mic.addEventListener(name, () => letGo("button"));
  mic.addEventListener("contextmenu", (event) => session?.pushToTalk && event.preventDefault());
  mic.addEventListener("keydown", (event) => {
    if (session?.pushToTalk && [" ", "Enter"].includes(event.key) && !event.repeat) hold("key");
  });
  mic.addEventListener("keyup", (event) => [" ", "Enter"].includes(event.key) && letGo("key"));
}

/** A ring that follows the voice: seen at a glance, somebody is heard. */
function meter() {
  const level = session && !session.over && !document.hidden ? session.level : 0;
  $("mic").style.setProperty("--level", level.toFixed(2));
  if ($("settings").open) $("level").value = level;
}

// --- Ends --------------------------------------------------------------------------------------

function finish(state, reason) {
  clearInterval(counting);
  captions.clear();
  turns.partial("");
  hint("");
  lock?.release().catch(() => {});
  body.dataset.state = state;
  body.classList.remove("seen"); // the face again, where the last picture went dark
  for (const overlay of ["lobby", "waiting", "unmute", "mic-notice"]) $(overlay).hidden = true;
  $("controls").inert = true;
  $("status").className = `tag status ${state === "failed" ? "bad" : "plain"}`;
  const title = {
    ended: "The conversation has ended",
    replaced: "Continued in another window",
    failed: REFUSALS[reason] ? "This does not work" : "The connection was lost",
  }[state];
  $("status-words").textContent = state === "ended" ? "Ended" : state === "replaced" ? "Elsewhere" : "Not connected";
  $("over-title").textContent = title;
  const lasted = startedAt ? ` It lasted ${lasting(Date.now() - startedAt)}.` : "";
  $("over-text").textContent =
    state === "replaced"
      ? "This conversation is open in another window or on another device."
      : `${ENDS[reason] ?? REFUSALS[reason] ?? ""}${state === "ended" ? lasted : ""}`.trim();
  const signedIn = "signedIn" in body.dataset;
  const mine = facts.yours ?? signedIn;
  $("over-recording").hidden = !(state === "ended" && signedIn && mine);
  $("over-recording").href = `/sessions/${encodeURIComponent(id)}`;
  $("over-recording").textContent = facts.record ? "Recording and transcript" : "Transcript";
  $("over-again").hidden = !(state === "replaced" || (state === "failed" && recall(id) && !REFUSALS[reason]) || reason === "unreachable");
  $("over-again").textContent = state === "replaced" ? "Continue here" : "Try again";
  $("over-transcript").hidden = !session?.transcript.some((entry) => entry.text);
  $("over-new").hidden = !signedIn || state === "replaced";
  $("over").hidden = false;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("over-title").focus({ preventScroll: true });
  announce(title);
  // The ticket of an ended session stays: a reload then tells the same.
}

function downloadTranscript() {
  const text = asText(session.transcript, avatarName());
  const url = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain" }));
  el("a", { href: url, download: `conversation-with-${avatarName().toLowerCase().replace(/\W+/g, "-")}.txt` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

async function askToEnd() {
  if (await agreed($("confirm-end"))) session.end();
}

// --- The rest of the page ----------------------------------------------------------------------

function showSide(open) {
  body.dataset.side = open ? "open" : "closed";
  $("toggle-side").setAttribute("aria-expanded", String(open));
  if (open) $("turns").scrollTop = $("turns").scrollHeight;
}

/** A phone must not go dark in the middle of a sentence. */
async function keepAwake() {
  const take = async () => {
    if (document.hidden || session.over) return;
    lock = await navigator.wakeLock?.request("screen").catch(() => null);
  };
  document.addEventListener("visibilitychange", take);
  await take();
}

function send(event) {
  event.preventDefault();
  const box = $("message");
  if (!box.value.trim()) return;
  if (session?.sendText(box.value)) box.value = "";
  else hint("Not sent: there is no connection yet.");
}

const settings = new Settings({
  captions: (on) => {
    captions.on = on;
    if (!on) captions.clear();
  },
  changed: () => session && showMicrophone(),
});
$("join").addEventListener("click", () => join(recall(id), true));
$("join-typing").addEventListener("click", () => join(recall(id), false));
$("unmute").addEventListener("click", () => session.unblock());
$("video").addEventListener("playing", () => body.classList.add("seen"));
$("interrupt").addEventListener("click", () => session.interrupt());
$("end").addEventListener("click", () => (session ? askToEnd() : location.assign("/live/")));
$("composer").addEventListener("submit", send);
$("over-again").addEventListener("click", () => location.reload());
$("over-transcript").addEventListener("click", downloadTranscript);
$("toggle-side").addEventListener("click", () => showSide(body.dataset.side !== "open"));
$("close-side").addEventListener("click", () => {
  showSide(false);
  $("toggle-side").focus();
});
keys();
setInterval(meter, 100);
begin();
