// The public REST API, called with the login session. Everything that goes wrong becomes a
// Problem with words for people.

export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail || "Something went wrong.");
    this.status = status;
    this.code = body.code || "unknown";
    this.errors = body.errors ?? [];
    this.limit = body.limit;
    this.retryAfter = Number(body.retryAfter) || 0;
  }

  /** The name of the field to blame, as in "/script". */
  get pointer() {
    return this.errors[0]?.pointer ?? "";
  }
}

const cookie = (name) =>
  document.cookie
    .split("; ")
    .find((part) => part.startsWith(`${name}=`))
    ?.slice(name.length + 1) ?? "";

export async function call(method, path, { json, form, headers = {}, signal } = {}) {
  const options = { method, headers: { Accept: "application/json", ...headers }, signal, credentials: "same-origin" };
  if (method !== "GET") options.headers["X-CSRFToken"] = cookie("csrftoken");
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers["Content-Type"] = "application/json";
  }
  if (form) options.body = form;
  let response;
  try {
    response = await fetch(path.startsWith("http") ? path : `/api/v1/${path}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { code: "offline", detail: "The service cannot be reached. Check your connection." });
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    body.retryAfter = response.headers.get("Retry-After");
    throw new Problem(response.status, body);
  }
  return body;
}

/** Send a file and tell how much has left. fetch cannot, so this is the old way. */
export function upload(path, form, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1/${path}`);
    request.responseType = "json";
    request.setRequestHeader("X-CSRFToken", cookie("csrftoken"));
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Problem(request.status, request.response ?? {}));
    });
    request.addEventListener("error", () =>
      reject(new Problem(0, { code: "offline", detail: "The upload was cut off. Check your connection." })),
    );
    request.send(form);
  });
}

const ADVICE = {
  rate_limited: "Wait a few seconds, then try again.",
  concurrency_limit_exceeded: "Wait for one of your clips to finish, or cancel one.",
  daily_video_limit_reached: "The allowance starts afresh at midnight UTC. A shorter script may still fit.",
  not_authenticated: "You were signed out. Reload the page to sign in again.",
  csrf_failed: "Reload the page, then try again.",
  unavailable: "This usually passes within seconds. Try again.",
  storage_unavailable: "Storage is away for a moment. Try again soon.",
  storage_full: "The service has run out of storage. Please tell whoever runs it.",
  provider_error: "The voice did not answer. Try again, or choose another voice.",
  unknown_voice: "Choose another voice.",
  provider_unauthorized: "The provider refuses this service's key. Please tell whoever runs it.",
  provider_not_configured: "Please tell whoever runs this service, or choose another voice.",
  provider_quota: "The provider's allowance is used up. Choose another voice, or try later.",
  provider_unreachable: "Try again soon, or choose another voice.",
  provider_timeout: "Try again soon, or choose another voice.",
  provider_busy: "Try again in a moment.",
  model_not_available: "Choose another model, or try again later.",
  avatar_not_prepared_for_model: "Choose another model.",
  cloned_voices_limit_reached: "Delete a voice that you no longer need.",
  sound_silent: "Speak closer to the microphone, and record again.",
  voice_unavailable: "Choose another voice, or try again later.",
  audio_too_long: "Cut the recording and try again.",
  unreadable_audio: "Save the recording as WAV or MP3 and try again.",
  unsupported_audio: "Save the recording as WAV or MP3 and try again.",
  nothing_to_say: "Write at least one word that can be spoken.",
  internal_error: "It was logged. Try again; if it happens twice, tell whoever runs this service.",
};

/** What happened and what to do, in plain words. */
export function explain({ message, code, detail }) {
  const text = message || detail || "Something went wrong.";
  const advice = ADVICE[code];
  return advice ? `${text} ${advice}` : text;
}
