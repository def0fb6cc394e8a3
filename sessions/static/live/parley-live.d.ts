// Types of parley-live.js.

export type State = "new" | "connecting" | "queued" | "live" | "reconnecting" | "ended" | "replaced" | "failed";
export type Phase = "idle" | "listening" | "thinking" | "speaking";
export type MicrophoneState = "off" | "asking" | "on" | "denied" | "missing" | "busy" | "insecure";

export interface Options {
  wsUrl: string | URL;
  token: string;
  /** Where the avatar is shown. Without it, tracks come as `track` events. */
  video?: HTMLVideoElement | null;
  /** Open the microphone when the session starts (true), or later with openMicrophone(). */
  mic?: boolean;
  deviceId?: string;
  /** Default: what the service says. */
  iceServers?: RTCIceServer[];
  iceTransportPolicy?: RTCIceTransportPolicy;
  /** How long to go on trying to reconnect. Default 150. */
  giveUpSeconds?: number;
}

export interface Info {
  avatar?: { name: string; preview_url: string | null; width: number; height: number };
  record?: boolean;
  consent?: string;
  language?: string;
  may_say?: boolean;
  limits?: Record<string, number>;
  ice_servers?: RTCIceServer[];
}

export interface Entry {
  turn: number;
  who: "user" | "avatar";
  /** Of the avatar: what was spoken so far; after an interruption what was heard. */
  text: string;
  /** Written and not yet spoken. */
  pending: string;
  done: boolean;
  interrupted: boolean;
  /** Milliseconds on the session's timeline. */
  startMs: number | null;
  endMs: number | null;
  /** Documents that an answer was given to draw on, the likeliest first. */
  sources: Source[];
}

export interface Source {
  document: string;
  name: string;
  /** Of a PDF, from 1. */
  page: number | null;
  passage: number;
}

export interface Stats {
  packets: number;
  lossPercent: number;
  kilobitsPerSecond: number;
  framesPerSecond: number;
  framesReceivedPerSecond: number;
  framesDropped: number;
  freezes: number;
  jitterBufferMs: number | null;
  roundTripMs: number | null;
  codec: string | null;
  route: string | null;
  width: number | null;
  height: number | null;
}

export interface SessionEvents {
  state: { state: State; previous: State };
  phase: { phase: Phase };
  info: Info;
  partial: { text: string };
  transcript: { entry: Entry; entries: Entry[] };
  /** Empty text: nobody says anything any more. */
  caption: { turn: number; text: string; startMs: number | null; endMs: number | null; interrupted: boolean };
  /** The avatar asked for a human. */
  handover: { turn: number; reason: string };
  metrics: Record<string, number | string>;
  stats: Stats;
  network: { network: "good" | "weak" };
  microphone: { state: MicrophoneState };
  devices: Record<string, never>;
  autoplay: { blocked: boolean };
  warning: { endsInSeconds: number };
  faults: { faults: string[] };
  error: { code: string; detail: string; fatal: boolean };
  ended: { state: "ended" | "replaced" | "failed"; reason: string };
  track: { track: MediaStreamTrack; stream: MediaStream };
  /** Every message of the server as it came. */
  event: { type: string; seq: number; at_ms: number; [field: string]: unknown };
}

export class ParleySession extends EventTarget {
  constructor(options: Options);
  static fromJoinUrl(joinUrl: string, options?: Partial<Options>): ParleySession;
  readonly state: State;
  readonly phase: Phase;
  readonly position: number | null;
  readonly network: "good" | "weak";
  readonly info: Info;
  readonly reason: string | null;
  readonly over: boolean;
  readonly stats: Stats | null;
  readonly metrics: Record<string, number | string> | null;
  readonly faults: string[];
  readonly transcript: Entry[];
  readonly partial: string;
  readonly microphone: MicrophoneState;
  /** How loud the microphone is now, 0 to 1. */
  readonly level: number;
  /** Whether `talk(true)` holds; it ends by itself when the page is left or the connection is lost. */
  readonly talking: boolean;
  readonly canChooseSpeaker: boolean;
  muted: boolean;
  pushToTalk: boolean;
  start(): Promise<void>;
  end(): void;
  close(): void;
  sendText(text: string): boolean;
  say(text: string): boolean;
  interrupt(): boolean;
  talk(on: boolean): void;
  openMicrophone(deviceId?: string): Promise<MicrophoneState>;
  closeMicrophone(): void;
  devices(): Promise<{ microphones: MediaDeviceInfo[]; speakers: MediaDeviceInfo[] }>;
  setSpeaker(deviceId: string): Promise<void>;
  unblock(): Promise<void>;
  addEventListener<K extends keyof SessionEvents>(
    type: K,
    listener: (event: CustomEvent<SessionEvents[K]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export function stateWords(session: ParleySession): string;
export function parseJoinUrl(joinUrl: string): { id: string; token: string; wsUrl: string };
