// Where a conversation and its recording stand, in words.

const RECORDINGS = {
  recording: ["Recording", "busy"],
  assembling: ["Being made", "busy"],
  ready: ["Recorded", "good"],
  failed: ["No recording", "bad"],
  erased: ["Recording erased", "plain"],
};

/** `[word, tone]` of a session as the API shows it. */
export function talkStatus(talk) {
  if (talk.status === "active") return ["Going on", "busy"];
  if (talk.status === "queued") return ["Waiting", "busy"];
  if (talk.status === "created") return ["Not joined yet", "plain"];
  if (talk.end_reason === "connect_timeout" || !talk.started_at) return ["Never began", "plain"];
  if (talk.end_reason === "failed" || talk.end_reason === "host_lost") return ["Broke off", "bad"];
  if (talk.recording) return RECORDINGS[talk.recording.status] ?? ["Ended", "plain"];
  return ["Not recorded", "plain"];
}

export const recordingWords = {
  recording: "The recording goes on.",
  assembling: "The recording is being put together.",
  failed: "The recording could not be made.",
  erased: "The recording was erased.",
  expired: "The recording has expired.",
};
