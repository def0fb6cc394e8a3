"""Every figure of the service, one line each. Units are in the names; labels have few values, never ids.

Nothing here belongs where packets or frames pass: there one counts in plain numbers, and says them
through `project.metrics.publishing`.
"""

from functools import partial

from prometheus_client import Counter, Gauge, Histogram

from project.metrics.registry import registry

_counter = partial(Counter, registry=registry)
# Of the processes that live: their sum; and of what one of them alone knows, what was said last.
_gauge = partial(Gauge, registry=registry, multiprocess_mode="livesum")
_latest = partial(Gauge, registry=registry, multiprocess_mode="livemostrecent")
_histogram = partial(Histogram, registry=registry)

SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
TURN = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1, 1.5, 2.5, 5, 10, 20)
LONG = (0.05, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 180, 600, 1800)

# --- Turns of live sessions ------------------------------------------------------------------------

turn_stage = _histogram(
    "parley_turn_stage_seconds", "Time that one stage of an avatar's turn took", ["stage"], buckets=TURN
)
turns = _counter("parley_turns", "Turns of avatars that ended, whole or interrupted", ["interrupted"])
session_create = _histogram(
    "parley_session_create_seconds", "Time from the request for a session to its answer", buckets=SHORT
)
webrtc_answer = _histogram("parley_webrtc_answer_seconds", "Time from an offer to its answer", buckets=SHORT)
webrtc_first_frame = _histogram(
    "parley_webrtc_first_frame_seconds", "Time from an offer to the first picture sent", buckets=TURN
)
interrupt = _histogram(
    "parley_interrupt_seconds", "Time from the voice that talks over an avatar to its silence", buckets=SHORT
)

# --- Live sessions of this process -----------------------------------------------------------------

live_joined = _counter("parley_live_joined", "Sockets that joined a session")
live_hosted = _counter("parley_live_hosted", "Sessions this process began or went on to host")
live_taken_over = _counter("parley_live_taken_over", "Sessions taken on from another process")
live_ended = _counter("parley_live_ended", "Sessions that ended here")
live_relayed = _counter("parley_live_relayed", "Sockets relayed to another process")
live_interrupts = _counter("parley_live_interrupts", "Times an avatar was interrupted")
live_underruns = _counter("parley_live_underruns", "Times an utterance waited for its pictures")
live_render_moves = _counter(
    "parley_live_render_moves", "Times the stream that drew an avatar was lost and went on elsewhere or anew"
)
live_vp8 = _counter("parley_live_vp8", "Peers without H.264, served with transcoded VP8")
live_refused = _counter("parley_live_messages_refused", "Messages of clients that could not be used")
live_stalls = _counter(
    "parley_live_stalls", "Times this process was too late to send, so that frames were skipped"
)
live_sessions = _gauge("parley_live_sessions", "Sessions hosted", ["process"])
live_peers = _gauge("parley_live_peers", "WebRTC peers connected", ["process"])
live_speaking = _gauge("parley_live_speaking", "Sessions whose avatar speaks", ["process"])
live_tasks = _gauge("parley_live_tasks", "Tasks of the event loop", ["process"])

# --- Drawing ---------------------------------------------------------------------------------------

fragments = _counter("parley_fragments", "Fragments, drawn or not", ["model", "kind", "outcome"])
fragment_seconds = _histogram(
    "parley_fragment_seconds", "Time to draw and encode one fragment", ["model", "kind"], buckets=SHORT
)
render_frames = _counter("parley_render_frames", "Pictures drawn", ["model", "kind"])
render_seconds = _counter("parley_render_seconds", "Time spent drawing and encoding", ["model", "kind"])

# --- Clips and webhooks ----------------------------------------------------------------------------

clip_stage = _histogram(
    "parley_clip_stage_seconds", "Time at work on one stage of a clip", ["stage", "outcome"], buckets=LONG
)
clip_seconds = _histogram(
    "parley_clip_seconds", "Time from the request for a clip to its end", ["outcome"], buckets=LONG
)
webhooks = _histogram(
    "parley_webhook_delivery_seconds", "Time of one attempt to deliver a webhook", ["outcome"], buckets=SHORT
)

# --- Background work -------------------------------------------------------------------------------

task_seconds = _histogram(
    "parley_task_seconds", "Time that a background task ran", ["task", "outcome"], buckets=LONG
)
task_wait = _histogram(
    "parley_task_wait_seconds", "Time that a background task waited in its queue", ["task"], buckets=LONG
)

# --- Storage, providers, requests --------------------------------------------------------------------

storage_seconds = _histogram(
    "parley_storage_seconds", "Time of one call of the object store", ["operation"], buckets=SHORT
)
storage_errors = _counter(
    "parley_storage_errors", "Calls of the object store that failed", ["operation", "code"]
)
provider_requests = _counter(
    "parley_provider_requests", "Requests that a provider served", ["kind", "provider"]
)
provider_failures = _counter(
    "parley_provider_failures", "Requests that a provider failed", ["kind", "provider"]
)
provider_answer = _histogram(
    "parley_provider_answer_seconds",
    "Time to a provider's first sound, word or token",
    ["kind", "provider"],
    buckets=TURN,
)
provider_first = _latest(
    "parley_provider_first_seconds",
    "Median time to a provider's first sound, word or token, of the last hundred answers of one process",
    ["kind", "provider"],
)
provider_breaker = _gauge(
    "parley_provider_breaker_open", "Processes that leave a provider alone", ["kind", "provider"]
)
http_requests = _counter("parley_http_requests", "Requests answered", ["method", "route", "status"])
http_seconds = _histogram(
    "parley_http_request_seconds", "Time to the beginning of an answer", ["route"], buckets=SHORT
)

# --- Processes -------------------------------------------------------------------------------------

process_cpu = _counter("process_cpu_seconds", "CPU time spent, user and system", ["process"])
process_start = _latest("process_start_time_seconds", "When this process began, in Unix seconds", ["process"])
process_memory = _gauge("process_resident_memory_bytes", "Memory in use", ["process"])
process_threads = _gauge("process_threads", "Threads of this process", ["process"])
process_fds = _gauge("process_open_fds", "Open files and sockets", ["process"])
process_max_fds = _gauge("process_max_fds", "Files and sockets that may be open", ["process"])
loop_lag = _latest(
    "parley_event_loop_lag_seconds",
    "The longest that the event loop was late in the last 20 seconds",
    ["process"],
)
loop_tasks = _gauge("parley_event_loop_tasks", "Tasks of the event loop", ["process"])
collector_seconds = _counter(
    "parley_collector_seconds", "Time in which Python looked for garbage and nothing else ran", ["process"]
)
collector_longest = _latest(
    "parley_collector_longest_seconds", "The longest such time of the last 20 seconds", ["process"]
)
