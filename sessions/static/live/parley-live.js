/**
 * The browser side of a live session: one module, no framework, for any site. docs/embedding.md.
 *
 *   import { ParleySession } from "https://parley.example/static/live/parley-live.js";
 *   const session = new ParleySession({ wsUrl, token, video: document.querySelector("video") });
 *   session.addEventListener("caption", (event) => show(event.detail.text));
 *   await session.start();
 *
 * It joins, plays the avatar into the video element, sends the microphone, and stays: a lost socket
 * is opened again where it broke off, a lost peer is replaced by a fresh one. Types: parley-live.d.ts.
 */

export const STATES = ["new", "connecting", "queued", "live", "reconnecting", "ended", "replaced", "failed"];
const OVER = new Set(["ended", "replaced", "failed"]);
const WORDS = new Set([
  "transcript.final",
  "reply.sources",
  "reply.delta",
  "reply.utterance",
  "speech.ended",
  "session.handover",
  "metrics",
]);
const CLOSED = { 4409: "replaced", 4410: "session_ended" };
const MOVED = 4012; // the close code of a session that goes on in another process
const DEFAULTS = {
  pingSeconds: 10, // of silence, before the socket is asked whether it lives
  pongSeconds: 5,
  backoffMs: 400,
  backoffMaxMs: 8000,
  giveUpSeconds: 150,
  answerSeconds: 8, // from the offer to a connected peer
  graceMs: 2500, // a peer often recovers from "disconnected" by itself
  statsMs: 2000,
  doubtMs: 700,
  settleMs: 1000, // from the state of a join to the pong behind it, which a service of today always sends
  tailMs: 250, // after push to talk: sound that is still on its way
};

// --- Words -------------------------------------------------------------------------------------

/** Where the session stands, in words for people. */
export function stateWords(session) {
  const { state, phase, position, network } = session;
  if (state === "queued") return position ? `Waiting for a free place: number ${position} in line` : "Waiting for a free place";
  if (state === "reconnecting") return navigator.onLine === false ? "No network: waiting for it to come back" : "Reconnecting";
  if (state === "live" && network === "weak") return "Weak network";
  if (state === "live") return { listening: "Listening", thinking: "Thinking", speaking: "Speaking" }[phase] ?? "Connected";
  return {
    new: "Ready",
    connecting: "Connecting",
    ended: "The conversation has ended",
    replaced: "Continued in another window",
    failed: "The connection was lost",
  }[state];
}

// --- The socket --------------------------------------------------------------------------------

/** A WebSocket that comes back: backoff with jitter, `since`, and a ping when it is too quiet. */
class Line {
  seq = 0;
  gapless = false; // from here on every number has to come: what is missing was lost on its way
  #socket = null;
  #attempt = 0;
  #gaps = 0;
  #gapAt = 0;
  #downSince = 0;
  #retry = 0;
  #quiet = 0;
  #closed = false;

  constructor(url, token, options, handlers) {
    Object.assign(this, { url, token, options, handlers });
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.#retry);
    this.#drop();
    this.gapless = false; // what is repeated has no pongs and no answers in it
    if (this.#closed) return;
    const url = new URL(this.url, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("token", this.token);
    url.searchParams.set("since", String(this.seq));
    let socket;
    try {
      socket = new WebSocket(url);
    } catch {
      // A page over https may not open a socket without it: in vain, however often it is tried.
      this.#closed = true;
      this.handlers.refused(0, "unreachable");
      return;
    }
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = (message) => this.#heard(message.data);
    socket.onclose = (event) => this.#lost(event);
    this.#listenFor(this.options.answerSeconds); // a handshake may hang as well
  }

  send(message) {
    if (!this.open) return false;
    this.#socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
    return true;
  }

  /** Is it alive? Asked at once after the machine slept or the network changed. */
  check(seconds = this.options.pongSeconds) {
    if (this.#closed) return;
    if (!this.open) return this.connect();
    this.send({ type: "ping" });
    this.#listenFor(seconds);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#drop();
  }

  /** Something did not arrive: have it repeated. Where that goes on happening, in growing pauses. */
  missed() {
    const now = Date.now();
    this.#gaps = now - this.#gapAt < 30_000 ? this.#gaps + 1 : 0;
    this.#gapAt = now;
    this.#attempt = this.#gaps;
    this.#drop();
    this.#later(this.#gaps === 0);
  }

  #opened() {
    this.#rest();
    this.handlers.opened();
  }

  #heard(data) {
    this.#rest();
    if (typeof data !== "string") return;
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return; // not of this protocol
    }
    if (typeof event?.type !== "string") return;
    // 0: said before there was a session to number it.
    if (event.seq > 0) {
      if (event.seq <= this.seq) return; // a repeat
      // After a farewell there is nothing to come back for.
      const last = event.type === "session.ended" || event.code === "replaced";
      if (this.gapless && event.seq > this.seq + 1 && !last) return this.missed();
      this.seq = event.seq;
      this.#attempt = 0;
      this.#downSince = 0;
    }
    if (event.type === "pong") this.handlers.pong();
    else this.handlers.event(event);
  }

  #lost(event) {
    this.#drop();
    if (this.#closed) return;
    if (event.code >= 4400 && event.code < 4500) {
      this.#closed = true;
      this.handlers.refused(event.code, event.reason);
      return;
    }
    this.#later(event.code === MOVED);
  }

  #later(soon = false) {
    const now = Date.now();
    this.#downSince ||= now;
    if (now - this.#downSince > this.options.giveUpSeconds * 1000) {
      this.#closed = true;
      this.handlers.refused(0, "unreachable");
      return;
    }
    const ceiling = Math.min(this.options.backoffMaxMs, this.options.backoffMs * 2 ** this.#attempt++);
    const wait = soon ? Math.random() * 100 : ceiling * (0.5 + Math.random() / 2);
    this.handlers.down(wait);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.connect(), wait);
  }

  /** After some silence ask; after more of it give this socket up. */
  #rest() {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.check(), this.options.pingSeconds * 1000);
  }

  #listenFor(seconds) {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      this.#drop();
      if (!this.#closed) this.#later();
    }, seconds * 1000);
  }

  #drop() {
    clearTimeout(this.#quiet);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }
}

// --- The peer ----------------------------------------------------------------------------------

/** One RTCPeerConnection. It is never repaired: a broken one is replaced by the next. */
class Peer {
  answered = false;
  #waiting = []; // candidates that came before the answer
  #grace = 0;
  #deadline = 0;

  constructor(id, { iceServers, iceTransportPolicy, track }, options, handlers) {
    Object.assign(this, { id, options, handlers });
    this.stream = new MediaStream();
    this.connection = new RTCPeerConnection({ iceServers, iceTransportPolicy, bundlePolicy: "max-bundle" });
    this.connection.ontrack = ({ track: coming }) => {
      this.stream.addTrack(coming);
      handlers.track(this, coming);
    };
    this.connection.onicecandidate = ({ candidate }) => this.#candidate(candidate);
    this.connection.onconnectionstatechange = () => this.#moved();
    // Both ways from the start: the microphone is put in and taken out without a new offer.
    this.microphone = this.connection.addTransceiver(track ?? "audio", { direction: "sendrecv" }).sender;
    preferH264(this.connection.addTransceiver("video", { direction: "recvonly" }));
  }

  get connected() {
    return this.connection.connectionState === "connected";
  }

  async offer(send) {
    this.send = send;
    this.#deadline = setTimeout(() => this.handlers.broken(this, "no_answer"), this.options.answerSeconds * 1000);
    await this.connection.setLocalDescription(await this.connection.createOffer());
    if (this.closed) return;
    send({ type: "rtc.offer", id: this.id, sdp: this.connection.localDescription.sdp });
    for (const candidate of this.#waiting.splice(0)) send(candidate);
    this.offered = true;
  }

  async answer(sdp) {
    if (this.closed || this.answered) return;
    this.answered = true;
    await this.connection.setRemoteDescription({ type: "answer", sdp });
  }

  close() {
    this.closed = true;
    clearTimeout(this.#grace);
    clearTimeout(this.#deadline);
    this.connection.onconnectionstatechange = this.connection.ontrack = this.connection.onicecandidate = null;
    this.connection.close();
  }

  #candidate(candidate) {
    const message = { type: "rtc.candidate", id: this.id, candidate: candidate?.candidate ? candidate.toJSON() : null };
    if (this.offered) this.send(message);
    else this.#waiting.push(message);
  }

  #moved() {
    clearTimeout(this.#grace);
    const state = this.connection.connectionState;
    if (state === "connected") {
      clearTimeout(this.#deadline);
      this.handlers.connected(this);
    } else if (state === "disconnected") {
      this.#grace = setTimeout(() => this.handlers.broken(this, "disconnected"), this.options.graceMs);
    } else if (state === "failed") {
      this.handlers.broken(this, "failed");
    }
  }
}

/** H.264 first, and of it the plain baseline that is sent without encoding anything again. */
function preferH264(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs ?? [];
  if (!transceiver.setCodecPreferences || !codecs.length) return;
  const rank = ({ mimeType, sdpFmtpLine = "" }) => {
    if (mimeType.toLowerCase() !== "video/h264") return 3;
    if (!sdpFmtpLine.includes("packetization-mode=1")) return 2;
    return /profile-level-id=42/i.test(sdpFmtpLine) ? 0 : 1;
  };
  transceiver.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));
}

// --- The microphone ----------------------------------------------------------------------------

const REFUSALS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
};

class Microphone {
  state = "off"; // off, asking, on, denied, missing, busy, insecure
  track = null;
  #meter = null;

  constructor(changed) {
    this.changed = changed;
  }

  async open(deviceId) {
    if (!navigator.mediaDevices?.getUserMedia) return this.#become("insecure");
    this.#become("asking");
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    if (deviceId) audio.deviceId = { exact: deviceId };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      return this.#become(this.track ? "on" : (REFUSALS[error.name] ?? "missing"));
    }
    this.#release();
    [this.track] = stream.getAudioTracks();
    this.track.onended = () => this.#unplugged();
    this.#listen(stream);
    return this.#become("on");
  }

  close() {
    this.#release();
    this.#become("off");
  }

  /** How loud it is now, 0 to 1: lets a page show that somebody is heard. */
  get level() {
    if (!this.#meter || !this.track?.enabled) return 0;
    const { analyser, samples } = this.#meter;
    analyser.getFloatTimeDomainData(samples);
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    const decibels = 10 * Math.log10(sum / samples.length + 1e-9);
    return Math.min(1, Math.max(0, (decibels + 60) / 50));
  }

  #listen(stream) {
    const Context = window.AudioContext ?? window.webkitAudioContext;
    if (!Context) return;
    const context = new Context();
    const analyser = new AnalyserNode(context, { fftSize: 512 });
    context.createMediaStreamSource(stream).connect(analyser);
    context.resume().catch(() => {});
    this.#meter = { context, analyser, samples: new Float32Array(512) };
  }

  #unplugged() {
    this.#release();
    this.open(); // whatever is the default now
  }

  #release() {
    if (this.track) {
      this.track.onended = null;
      this.track.stop();
      this.track = null;
    }
    this.#meter?.context.close().catch(() => {});
    this.#meter = null;
  }

  #become(state) {
    this.state = state;
    this.changed(state);
    return state;
  }
}

// --- The transcript ----------------------------------------------------------------------------

const squeeze = (text) => text.replace(/\s+/g, " ").trim();

/** Turns, built from events: what the customer said, and the avatar's words as they are spoken. */
class Transcript {
  entries = [];
  partial = "";
  #turns = new Map();

  #turn(number, who) {
    const key = `${who} ${number}`;
    let entry = this.#turns.get(key);
    if (!entry) {
      entry = { turn: number, who, text: "", pending: "", done: false, interrupted: false, startMs: null, endMs: null, sources: [] };
      this.#turns.set(key, entry);
      this.entries.push(entry);
      Object.defineProperty(entry, "written", { value: "", writable: true, enumerable: false });
    }
    return entry;
  }

  user(number, text, atMs) {
    const entry = this.#turn(number, "user");
    Object.assign(entry, { text, done: true, endMs: atMs });
    this.partial = "";
    return entry;
  }

  sources(number, sources) {
    const entry = this.#turn(number, "avatar");
    entry.sources = sources;
    return entry;
  }

  delta(number, text) {
    const entry = this.#turn(number, "avatar");
    entry.written += text;
    this.#foresee(entry);
    return entry;
  }

  utterance(number, text, startMs, endMs) {
    const entry = this.#turn(number, "avatar");
    entry.text = squeeze(`${entry.text} ${text}`);
    entry.startMs ??= startMs;
    entry.endMs = endMs;
    this.#foresee(entry);
    return entry;
  }

  ended(number, interrupted, heard) {
    const entry = this.#turn(number, "avatar");
    if (interrupted && heard !== undefined) entry.text = squeeze(heard);
    else entry.text ||= squeeze(heard ?? "") || squeeze(entry.written);
    Object.assign(entry, { pending: "", done: true, interrupted: Boolean(interrupted) });
    return entry;
  }

  /** A turn is over also when nothing of it was played: stopped early, or failed and told in writing. */
  over(number, failed) {
    const entry = this.#turns.get(`avatar ${number}`);
    if (!entry) return null;
    if (failed && squeeze(entry.written).startsWith(entry.text)) entry.text = squeeze(entry.written);
    Object.assign(entry, { pending: "", done: true });
    return entry;
  }

  /** What was written and not yet said. A numeral may be said in words: then nothing is foreseen. */
  #foresee(entry) {
    const written = squeeze(entry.written);
    entry.pending = written.startsWith(entry.text) ? written.slice(entry.text.length).trim() : "";
  }
}

/** The state of a join, now or earlier: only that names the servers for media. */
const joins = (event) => event.type === "session.state" && Boolean(event.ice_servers);

// --- The session -------------------------------------------------------------------------------

export class ParleySession extends EventTarget {
  state = "new";
  phase = "idle";
  position = null;
  network = "good";
  info = {};
  reason = null;
  stats = null;
  metrics = null;
  faults = [];
  #line;
  #peer = null;
  #old = null; // shows its last picture until the next peer has one
  #offers = [];
  #peers = 0;
  #failures = 0;
  #again = 0;
  #microphone;
  #muted = false;
  #pushToTalk = false;
  #talking = false;
  #talked = false; // since the session began
  #tail = 0;
  #watch = 0;
  #last = null;
  #weak = 0;
  #leave = [];
  #transcript = new Transcript();
  #status = "created";
  #joined = false; // this socket has told where the session stands
  #settled = false; // it has repeated everything: what comes now is news
  #arrived = []; // by a new socket, before that
  #words = null; // the last of them that were spoken, or their end
  #settling = 0;
  #refusal = "";
  #faulty = false; // something went wrong in the turn that goes on

  constructor({ wsUrl, token, video = null, mic = true, iceServers, iceTransportPolicy = "all", deviceId, ...options }) {
    super();
    if (!wsUrl || !token) throw new TypeError("A session needs wsUrl and token");
    Object.assign(this, { video, iceServers, iceTransportPolicy, deviceId, wantsMicrophone: Boolean(mic) });
    this.options = { ...DEFAULTS, ...options };
    this.#microphone = new Microphone((state) => this.#tell("microphone", { state }));
    this.#line = new Line(wsUrl, token, this.options, {
      // Its answer comes behind everything that the join repeats.
      opened: () => this.#line.send({ type: "ping" }),
      pong: () => this.#settled || this.#settle(true),
      event: (event) => this.#heard(event),
      down: (wait) => this.#down(wait),
      refused: (code, reason) => this.#refused(code, reason),
    });
  }

  /** From the `join_url` of POST /api/v1/sessions. */
  static fromJoinUrl(joinUrl, options = {}) {
    const { wsUrl, token } = parseJoinUrl(joinUrl);
    return new ParleySession({ wsUrl, token, ...options });
  }

  // -- What a page asks for

  /** Join. Call it from a click, so that the browser lets sound play. */
  async start() {
    if (this.state !== "new") return;
    this.#become("connecting");
    this.#hearWindow();
    this.#watch = setInterval(() => this.#measure(), this.options.statsMs);
    this.#line.connect();
    if (this.wantsMicrophone) await this.openMicrophone(this.deviceId);
  }

  get transcript() {
    return this.#transcript.entries;
  }

  get partial() {
    return this.#transcript.partial;
  }

  get microphone() {
    return this.#microphone.state;
  }

  get level() {
    return this.#microphone.level;
  }

  get muted() {
    return this.#muted;
  }

  set muted(value) {
    this.#muted = Boolean(value);
    this.#gate();
  }

  get pushToTalk() {
    return this.#pushToTalk;
  }

  set pushToTalk(value) {
    this.#pushToTalk = Boolean(value);
    if (!value && this.#talking) this.talk(false);
    this.#gate();
  }

  /** Whether the floor is held. It is let go when the page is left, hidden, or loses its connection. */
  get talking() {
    return this.#talking;
  }

  /** Hold the floor: from `talk(true)` to `talk(false)` everything is one turn. Works while muted too. */
  talk(on) {
    if (on === this.#talking) return;
    clearTimeout(this.#tail);
    this.#tail = 0;
    this.#talking = on;
    if (on) {
      this.#talked = true;
      this.#gate();
      this.#line.send({ type: "mic.start" });
    } else {
      this.#tail = setTimeout(() => this.#letGo(), this.options.tailMs);
    }
  }

  /** At once: the page may be put to sleep before the tail is over. */
  #letGo() {
    if (!this.#talking && !this.#tail) return;
    clearTimeout(this.#tail);
    this.#tail = 0;
    this.#talking = false;
    this.#gate();
    this.#line.send({ type: "mic.stop" });
  }

  async openMicrophone(deviceId) {
    this.deviceId = deviceId;
    const state = await this.#microphone.open(deviceId);
    if (this.over) {
      this.#microphone.close();
      return state;
    }
    this.#gate();
    await this.#peer?.microphone.replaceTrack(this.#microphone.track).catch(() => {});
    return state;
  }

  closeMicrophone() {
    this.#microphone.close();
    this.#peer?.microphone.replaceTrack(null).catch(() => {});
  }

  /** `{microphones, speakers}`; names are known only once a microphone was allowed. */
  async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    const of = (kind) => all.filter((device) => device.kind === kind && device.deviceId);
    return { microphones: of("audioinput"), speakers: this.canChooseSpeaker ? of("audiooutput") : [] };
  }

  get canChooseSpeaker() {
    return Boolean(this.video?.setSinkId);
  }

  async setSpeaker(deviceId) {
    await this.video.setSinkId(deviceId);
  }

  /** A user turn in writing; false when there is no connection to send it on. */
  sendText(text) {
    const words = text.trim();
    return words ? this.#line.send({ type: "user.text", text: words }) : false;
  }

  /** Speak this verbatim, where the token allows it. */
  say(text) {
    return this.#line.send({ type: "avatar.say", text });
  }

  interrupt() {
    return this.#line.send({ type: "avatar.interrupt" });
  }

  /** End the conversation for good. */
  end() {
    if (this.over) return;
    const told = this.#line.send({ type: "session.end" });
    // The answer is `session.ended`; a dead socket must not keep anybody in the call.
    setTimeout(() => this.#finish("ended", "client_ended"), told ? 1500 : 0);
  }

  /** Leave this page; the session lives on for a while, and can be joined again. */
  close() {
    this.#release();
  }

  /** Let the sound out: call it from a click after `autoplay {blocked: true}`. */
  async unblock() {
    if (!this.video) return;
    this.video.muted = false;
    await this.#play();
  }

  get over() {
    return OVER.has(this.state);
  }

  // -- What the server says

  /**
   * A new socket first repeats what was missed, then says where the session stands: in a state with
   * `ice_servers`. Older joins may be among what is repeated, so the pong behind it all is waited for;
   * meanwhile the peer begins.
   */
  #heard(event) {
    if (this.#settled || !event.seq) return this.#follow(event);
    if (!joins(event)) return void this.#arrived.push(event);
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#settle(), this.options.settleMs);
    if (event.status !== "active") return void this.#arrived.push(event);
    for (const earlier of this.#arrived.splice(0)) this.#repeat(earlier);
    this.#follow(event);
  }

  #settle(complete = false) {
    clearTimeout(this.#settling);
    const arrived = this.#arrived.splice(0);
    const stands = arrived.findLastIndex(joins);
    const known = this.#joined || stands >= 0;
    for (const event of arrived.slice(0, known ? Math.max(0, stands) : undefined)) this.#repeat(event);
    if (!known) return complete && !this.over && this.#line.missed();
    this.#settled = this.#line.gapless = true;
    const words = this.#words;
    this.#words = null;
    // Words whose sound is still going on: the last, unless their end was repeated too.
    if (words?.type === "reply.utterance" && !this.over) this.#caption(words);
    for (const event of arrived.slice(Math.max(0, stands))) this.#follow(event);
    // A press that went down with the last socket is over, whoever heard of it.
    if (this.#talked && !this.#talking) this.#line.send({ type: "mic.stop" });
  }

  /** What was missed counts for the transcript; it is no news any more. */
  #repeat(event) {
    this.#tell("event", event);
    if (["reply.utterance", "speech.ended"].includes(event.type)) this.#words = event;
    if (event.type === "session.ended" || WORDS.has(event.type)) this.#follow(event, true);
    else if (event.type === "error") this.#faulty = true;
  }

  #follow(event, repeated = false) {
    if (!repeated) this.#tell("event", event);
    switch (event.type) {
      case "session.state":
        return this.#placed(event);
      case "rtc.answer":
        return this.#answered(event);
      case "transcript.partial":
        this.#transcript.partial = event.text;
        return this.#tell("partial", { text: event.text });
      case "transcript.final":
        return this.#wrote(this.#transcript.user(event.turn, event.text, event.at_ms));
      case "reply.sources":
        return this.#wrote(this.#transcript.sources(event.turn, event.sources ?? []));
      case "session.handover":
        return this.#tell("handover", { turn: event.turn, reason: event.reason ?? "" });
      case "reply.delta":
        return this.#wrote(this.#transcript.delta(event.turn, event.text));
      case "reply.utterance":
        this.#wrote(this.#transcript.utterance(event.turn, event.text, event.start_ms, event.end_ms));
        return repeated || this.#caption(event);
      case "speech.started":
        return this.#phased("speaking");
      case "speech.ended":
        this.#wrote(this.#transcript.ended(event.turn, event.interrupted, event.heard_text));
        return repeated || this.#caption({ turn: event.turn, text: "", interrupted: event.interrupted });
      case "metrics":
        return this.#measured(event);
      case "error":
        return this.#failed(event);
      case "session.ended":
        return this.#finish("ended", event.reason);
    }
  }

  #placed(event) {
    const { seq, at_ms: atMs, type, status, phase, position, connected, faults, warning, ...rest } = event;
    const { ends_in_seconds: endsInSeconds, end_reason: endReason, ...facts } = rest;
    this.info = { ...this.info, ...facts };
    this.#status = status ?? this.#status;
    const moved = this.position !== (position ?? null);
    this.position = position ?? null;
    const first = !this.#joined;
    this.#joined = true;
    if (Object.keys(facts).length) this.#tell("info", this.info);
    if (this.#status === "ended") return this.#finish("ended", endReason ?? "session_ended");
    if (phase) this.#phased(phase);
    this.#ailed(faults ?? []);
    if (this.#status === "queued") this.#become("queued", moved);
    else if (first && this.#peer?.connected && connected === false) this.#broken(this.#peer, "moved");
    else if (first && this.#peer?.connected) this.#doubt();
    else if (first || !this.#peer) this.#meet();
    else if (this.state === "queued") this.#become("connecting");
    const soon = this.info.limits?.warning_seconds ?? 60;
    if (endsInSeconds !== undefined && endsInSeconds <= soon) this.#tell("warning", { endsInSeconds });
  }

  #caption({ turn, text, start_ms: startMs = null, end_ms: endMs = null, interrupted = false }) {
    this.#tell("caption", { turn, text, startMs, endMs, interrupted });
  }

  #measured({ type, seq, at_ms: atMs, turn, ...figures }) {
    this.metrics = { ...this.metrics, ...figures };
    this.#tell("metrics", this.metrics);
    if (turn === undefined) return;
    this.#wrote(this.#transcript.over(turn, this.#faulty));
    this.#faulty = false;
  }

  #wrote(entry) {
    if (entry) this.#tell("transcript", { entry, entries: this.transcript });
  }

  #phased(phase) {
    if (phase === this.phase) return;
    this.phase = phase;
    this.#tell("phase", { phase });
  }

  /** Parts of the service that are away just now, by the codes of their errors. */
  #ailed(faults) {
    if (faults.join() === this.faults.join()) return;
    this.faults = faults;
    this.#tell("faults", { faults });
  }

  #failed({ code, detail, seq }) {
    if (code === "replaced") return this.#finish("replaced", code);
    this.#faulty = true;
    if (seq === 0) this.#refusal = code; // and the socket is closed
    else this.#tell("error", { code, detail, fatal: false });
  }

  #refused(code, reason) {
    this.#settle();
    if (this.over) return;
    const word = CLOSED[code] ?? (this.#refusal || reason || "refused");
    if (word === "replaced") return this.#finish("replaced", word);
    if (word === "session_ended") return this.#finish("ended", word);
    this.#tell("error", { code: word, detail: "", fatal: true });
    this.#finish("failed", word);
  }

  // -- The peers

  /** See to it that there is a living peer. */
  #meet() {
    clearTimeout(this.#again);
    if (this.over || !this.#joined || !this.#line.open || this.#status === "queued") return;
    if (this.#peer?.connected) return this.#become("live");
    this.#become(this.#peers ? "reconnecting" : "connecting");
    this.#retire();
    this.#offers = [];
    if (this.#peers) this.#line.send({ type: "rtc.restart" });
    const setup = {
      iceServers: this.iceServers ?? this.info.ice_servers ?? [],
      iceTransportPolicy: this.iceTransportPolicy,
      track: this.#microphone.track,
    };
    const peer = new Peer(String(++this.#peers), setup, this.options, {
      track: (from, track) => this.#shown(from, track),
      connected: (from) => this.#connected(from),
      broken: (from, why) => this.#broken(from, why),
    });
    this.#peer = peer;
    this.#offers.push(peer);
    peer.offer((message) => this.#line.send(message)).catch(() => this.#broken(peer, "offer"));
  }

  /** The socket came back: perhaps the process that sent the pictures is gone, and nothing says so. */
  async #doubt() {
    this.#become("live");
    const peer = this.#peer;
    const count = async () => summary((await peer.connection.getStats().catch(() => null)) ?? new Map()).packets;
    const before = await count();
    await new Promise((resolve) => setTimeout(resolve, this.options.doubtMs));
    if (peer === this.#peer && peer.connected && (await count()) === before) this.#broken(peer, "no_media");
  }

  #answered({ id, sdp }) {
    const at = id === undefined ? 0 : this.#offers.findIndex((peer) => peer.id === String(id));
    const [peer] = at < 0 ? [] : this.#offers.splice(at, 1);
    if (peer === this.#peer) peer?.answer(sdp).catch(() => this.#broken(peer, "answer"));
  }

  #connected(peer) {
    if (peer !== this.#peer) return;
    // A track that arrived while the offer was made is put in now.
    if (peer.microphone.track !== this.#microphone.track) {
      peer.microphone.replaceTrack(this.#microphone.track).catch(() => {});
    }
    this.#last = null;
    this.#become("live");
  }

  #broken(peer, why) {
    if (peer !== this.#peer || this.over) return;
    this.#failures += 1;
    if (this.#failures === 4) this.#tell("error", { code: "media_unreachable", detail: why, fatal: false });
    this.#retire();
    if (this.#line.open) this.#become("reconnecting");
    const wait = this.#failures < 2 ? 0 : Math.min(8000, 300 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#meet(), wait);
  }

  #retire() {
    this.#old?.close();
    this.#old = this.#peer;
    this.#peer = null;
    if (!this.#old) return;
    // Its microphone must not be heard twice; its picture stays until there is another.
    this.#old.microphone.replaceTrack(null).catch(() => {});
    const old = this.#old;
    setTimeout(() => old.close(), 10_000);
  }

  /** A peer's picture goes onto the page with its first frame, so that nobody sees black between. */
  #shown(peer, track) {
    if (!this.video) return this.#tell("track", { track, stream: peer.stream });
    const show = () => {
      if (peer !== this.#peer || this.video.srcObject === peer.stream) return;
      this.video.srcObject = peer.stream;
      this.#play();
      this.#old?.close();
      this.#old = null;
    };
    if (track.kind === "video" && track.muted) track.addEventListener("unmute", show, { once: true });
    else if (track.kind === "video") show();
    this.#tell("track", { track, stream: peer.stream });
  }

  async #play() {
    const { video } = this;
    try {
      await video.play();
      this.#tell("autoplay", { blocked: video.muted && this.silenced === true });
      if (!video.muted) this.silenced = false;
    } catch (error) {
      if (error.name !== "NotAllowedError") return; // another source came meanwhile
      this.silenced = true;
      video.muted = true;
      await video.play().catch(() => {});
      this.#tell("autoplay", { blocked: true });
    }
  }

  #gate() {
    const { track } = this.#microphone;
    if (track) track.enabled = this.#talking || (!this.#muted && !this.#pushToTalk);
    this.#tell("microphone", { state: this.#microphone.state });
  }

  // -- The network

  #down() {
    this.#letGo();
    this.#settled = this.#joined = false;
    if (this.#peers || this.state !== "connecting") this.#become("reconnecting");
    else this.#tell("state", { state: this.state, previous: this.state });
    this.#settle();
    this.#settled = this.#joined = false;
  }

  #hearWindow() {
    const on = (target, name, action) => {
      target?.addEventListener?.(name, action);
      this.#leave.push(() => target?.removeEventListener?.(name, action));
    };
    const changed = () => {
      this.#line.check(2);
      if (this.#peer && !this.#peer.connected) this.#broken(this.#peer, "network_changed");
    };
    on(window, "online", changed);
    on(window, "offline", () => this.state === "live" && this.#line.check(2));
    on(navigator.connection, "change", changed);
    on(document, "visibilitychange", () => (document.hidden ? this.#letGo() : this.#line.check(2)));
    // Nothing tells that a button was released elsewhere.
    on(window, "blur", () => this.talk(false));
    on(window, "pagehide", () => this.#letGo());
    on(window, "pageshow", (event) => event.persisted && this.#line.check(2));
    on(navigator.mediaDevices, "devicechange", () => this.#tell("devices", {}));
  }

  /** Every two seconds: what the network does, and whether pictures still arrive. */
  async #measure() {
    const peer = this.#peer;
    if (!peer?.connected) return;
    const report = await peer.connection.getStats().catch(() => null);
    if (!report || peer !== this.#peer) return;
    const now = summary(report);
    const before = this.#last;
    this.#last = now;
    if (!before) return;
    const stats = difference(before, now);
    this.stats = stats;
    if (stats.packets === 0) {
      // The server sends without a pause, idle or not: silence means that it is gone.
      this.#broken(peer, "no_media");
      return;
    }
    this.#failures = 0;
    // What arrives counts: a busy machine, or a page in the background, shows less than that.
    const jerky = stats.framesReceivedPerSecond < 18 || (stats.freezes > 0 && stats.lossPercent > 1);
    const poor = stats.lossPercent > 5 || stats.roundTripMs > 400 || jerky;
    this.#weak = poor ? Math.min(3, this.#weak + 1) : Math.max(0, this.#weak - 1);
    const network = this.#weak >= 2 ? "weak" : this.#weak === 0 ? "good" : this.network;
    if (network !== this.network) {
      this.network = network;
      this.#tell("network", { network });
    }
    this.#tell("stats", stats);
  }

  // -- Ends

  #become(state, again = false) {
    if ((state === this.state && !again) || this.over) return;
    const previous = this.state;
    this.state = state;
    this.#tell("state", { state, previous });
  }

  #finish(state, reason) {
    if (this.over) return;
    this.reason = reason;
    this.#release();
    this.#become(state);
    this.#tell("ended", { state, reason });
  }

  #release() {
    clearInterval(this.#watch);
    clearTimeout(this.#again);
    clearTimeout(this.#tail);
    clearTimeout(this.#settling);
    for (const leave of this.#leave.splice(0)) leave();
    this.#line.close();
    this.#peer?.close();
    this.#old?.close();
    this.#peer = this.#old = null;
    this.#microphone.close();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// --- Figures -----------------------------------------------------------------------------------

function summary(report) {
  const found = { at: 0, packets: 0, lost: 0, bytes: 0, frames: 0, received: 0, dropped: 0, freezes: 0, jitterDelay: 0, jitterCount: 0 };
  for (const item of report.values()) {
    if (item.type === "inbound-rtp") {
      found.at = item.timestamp;
      found.packets += item.packetsReceived ?? 0;
      found.lost += item.packetsLost ?? 0;
      found.bytes += item.bytesReceived ?? 0;
      if (item.kind === "video") {
        found.frames = item.framesDecoded ?? 0;
        found.received = item.framesReceived ?? found.frames;
        found.dropped = item.framesDropped ?? 0;
        found.freezes = item.freezeCount ?? 0;
        found.width = item.frameWidth;
        found.height = item.frameHeight;
        found.codec = report.get(item.codecId)?.mimeType;
      } else {
        found.jitterDelay = item.jitterBufferDelay ?? 0;
        found.jitterCount = item.jitterBufferEmittedCount ?? 0;
      }
    } else if (item.type === "candidate-pair" && item.nominated && item.state === "succeeded") {
      found.roundTrip = item.currentRoundTripTime;
      found.route = report.get(item.localCandidateId)?.candidateType;
    }
  }
  return found;
}

function difference(before, now) {
  const seconds = Math.max(0.001, (now.at - before.at) / 1000);
  const packets = now.packets - before.packets;
  const lost = Math.max(0, now.lost - before.lost);
  const emitted = now.jitterCount - before.jitterCount;
  return {
    packets,
    lossPercent: packets + lost ? (100 * lost) / (packets + lost) : 0,
    kilobitsPerSecond: ((now.bytes - before.bytes) * 8) / 1000 / seconds,
    framesPerSecond: (now.frames - before.frames) / seconds,
    framesReceivedPerSecond: (now.received - before.received) / seconds,
    framesDropped: now.dropped - before.dropped,
    freezes: now.freezes - before.freezes,
    jitterBufferMs: emitted > 0 ? (1000 * (now.jitterDelay - before.jitterDelay)) / emitted : null,
    roundTripMs: now.roundTrip === undefined ? null : now.roundTrip * 1000,
    codec: now.codec ?? null,
    route: now.route ?? null,
    width: now.width ?? null,
    height: now.height ?? null,
  };
}

/** `https://host/live/{id}#{token}` as what the module needs. */
export function parseJoinUrl(joinUrl) {
  const url = new URL(joinUrl, globalThis.location?.href);
  const id = /\/live\/([^/]+)\/?$/.exec(url.pathname)?.[1];
  const token = url.hash.slice(1).replace(/^token=/, "");
  if (!id || !token) throw new TypeError("This is not a join URL");
  const base = url.pathname.slice(0, url.pathname.lastIndexOf("/live/"));
  const wsUrl = new URL(`${base}/ws/sessions/${id}/`, url);
  wsUrl.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  wsUrl.hash = "";
  wsUrl.search = "";
  return { id, token, wsUrl: wsUrl.href };
}
