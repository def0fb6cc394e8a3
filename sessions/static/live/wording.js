// Codes of the service as words for people.

export const ENDS = {
  client_ended: "You ended the conversation.",
  api_ended: "The service ended the conversation.",
  idle_timeout: "Nobody had said anything for a while.",
  max_duration: "The longest time for a conversation was reached.",
  connect_timeout: "No picture and sound could be connected in time.",
  queue_timeout: "No place became free in time. Please try again later.",
  disconnected: "The connection was away for too long.",
  host_lost: "The service lost this conversation.",
  failed: "Something went wrong on our side. It was logged.",
  admin_ended: "Somebody of the staff ended the conversation.",
  erased: "The conversation was erased.",
  avatar_ended: "The avatar said goodbye.",
};

export const HANDOVER = "A human colleague was asked to join you.";

export const REFUSALS = {
  token_invalid: "This link is not valid, or no longer.",
  token_expired: "This link was not used in time. Ask for a new one.",
  not_found: "There is no such conversation.",
  session_not_found: "There is no such conversation.",
  session_ended: "This conversation has ended.",
  session_not_active: "This conversation has ended.",
  forbidden_origin: "This website may not open the conversation.",
  unreachable: "The service cannot be reached. Check your network.",
};

const HELD_UP = "The service is held up. The conversation goes on shortly.";
const UNDRAWN = "The picture of the answer could not be made. Please say it again.";
const SOUND = "The microphone's sound cannot be used. You can type.";
const BROWSER = "Picture and sound cannot be shown in this browser. You can still type.";
const MISSENT = "That could not be used. Please try again.";
const FAST = "That was too fast. Please wait a moment.";

const TROUBLES = {
  broker_unavailable: HELD_UP,
  database_unavailable: HELD_UP,
  storage_unavailable: "Storage is away for a moment: the recording may have a gap.",
  internal_error: "Something went wrong on our side. Please say it again.",
  render_timeout: UNDRAWN,
  render_malformed: UNDRAWN,
  render_failed: UNDRAWN,
  render_twice: UNDRAWN,
  no_slot: "Too many people are talking right now. Please say it again in a moment.",
  nothing_heard: "Nothing was understood. Please say it again.",
  nothing_to_say: "There is nothing in it that could be spoken.",
  media_unreachable: "Picture and sound cannot get through this network. You can still type.",
  sdp_invalid: BROWSER,
  sdp_too_large: BROWSER,
  sdp_without_video: BROWSER,
  sdp_without_codec: BROWSER,
  candidate_invalid: BROWSER,
  candidates_too_many: BROWSER,
  too_many_offers: "The connection breaks again and again. It is tried again shortly.",
  microphone_rate: SOUND,
  audio_malformed: SOUND,
  audio_too_large: SOUND,
  audio_too_fast: SOUND,
  too_many_messages: FAST,
  message_malformed: MISSENT,
  unknown_message: MISSENT,
  invalid_field: MISSENT,
  message_too_large: "That message is too long.",
  text_too_long: "That message is too long.",
  text_empty: "There is nothing in that message.",
  say_not_allowed: "This conversation does not let you put words into the avatar's mouth.",
  session_not_active: "The conversation has not begun yet.",
};

// Parts of the service, each with endings of its own: language_model_timeout, speech_no_audio.
const PARTS = [
  [/^language_model_(timeout|busy)$/, "The answer took too long. Please say it again."],
  [/^language_model_/, "The answer could not be made. Please say it again."],
  [/^speech_/, "The voice is away for a moment. Please say it again."],
  [/^recognition_/, "You could not be understood just now. Please say it again, or type."],
];

/** A code of an `error` or a fault in words; `detail` is the service's own, for codes of tomorrow. */
export function troubleWords(code, detail) {
  const known = Object.hasOwn(TROUBLES, code) ? TROUBLES[code] : PARTS.find(([codes]) => codes.test(code))?.[1];
  return known ?? (detail || "Something went wrong.");
}

export const MICROPHONE = {
  denied: "The microphone is not allowed. You can type; to talk, allow it beside the address and press the microphone.",
  missing: "No microphone was found. You can type.",
  busy: "Another program uses the microphone. Close it and press the microphone, or type.",
  insecure: "A microphone needs a secure address (https). You can type.",
};

/** Figures of a turn and of the network, in the order in which they matter to somebody who waits. */
export const FIGURES = [
  ["asr_partial_latency_ms", "First words understood"],
  ["asr_final_ms", "All words understood"],
  ["llm_first_token_ms", "Answer begins to be written"],
  ["tts_first_pcm_ms", "Voice begins"],
  ["avatar_first_frame_ms", "Lips begin"],
  ["response_ms", "Answer heard after"],
  ["render_fps", "Drawing speed", "fps"],
  ["steady_chunk_ms", "One piece drawn in"],
  ["av_drift_ms", "Sound and picture apart"],
  ["webrtc_first_frame_ms", "First picture after joining"],
  ["session_create_ms", "Conversation made in"],
  ["queue_depth", "Waiting for drawing", ""],
];

/** What only the page of a whole conversation tells. */
export const MORE_FIGURES = [
  ["first_audible_ms", "Answer heard after the question"],
  ["endpoint_ms", "Sure that the customer has ended"],
  ["retrieval_ms", "Documents searched"],
  ["first_piece_ms", "First sentence written"],
  ["first_segment_ms", "First piece ready to be played"],
  ["interrupt_ms", "Silent after an interruption began"],
  ["render_queue_ms", "A piece waited to be drawn"],
  ["underruns", "Waits within an answer"],
  ["rtt_ms", "To the browser and back"],
];
