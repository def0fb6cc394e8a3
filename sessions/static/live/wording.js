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
};

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

export const TROUBLES = {
  broker_unavailable: "The service is held up. The conversation goes on shortly.",
  storage_unavailable: "Storage is away for a moment: the recording may have a gap.",
  database_unavailable: "The service is held up. The conversation goes on shortly.",
  media_unreachable: "Picture and sound cannot get through this network. You can still type.",
  provider_error: "The answer could not be made. Please say it again.",
  provider_timeout: "The answer took too long. Please say it again.",
  provider_unreachable: "The answer could not be made. Please say it again.",
  provider_busy: "Too many people are asking right now. Please say it again.",
  too_many_messages: "That was too fast. Please wait a moment.",
  text_too_long: "That message is too long.",
  microphone_rate: "The microphone's sound cannot be used. You can type.",
};

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
