"""Settings. The only module that reads the environment (through `project.env`).

`docs/operations.md` lists every variable; a test compares the two.
"""

import secrets
import sys
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from project.env import (
    database,
    env_bool,
    env_int,
    env_key,
    env_list,
    env_models,
    env_pairs,
    env_providers,
    env_range,
    env_share,
    env_str,
)

BASE_DIR = Path(__file__).resolve().parent.parent
PARLEY_HOME = Path(env_str("PARLEY_HOME", str(BASE_DIR / ".parley"))).resolve()

DEBUG = env_bool("DEBUG", default=False)
# Without a configured key a process makes one for itself: good enough for commands and tests,
# useless for a service of several processes, which `make up` and compose both configure.
SECRET_KEY = env_str("SECRET_KEY") or secrets.token_urlsafe(48)

# --- Addresses -----------------------------------------------------------------------------

HOST = env_str("HOST", "127.0.0.1")
PORT = env_int("PORT", 8000)
PUBLIC_URL = env_str("PUBLIC_URL", f"http://{HOST}:{PORT}").rstrip("/")
SECURE = PUBLIC_URL.startswith("https://")
ALLOWED_HOSTS = [
    urlsplit(PUBLIC_URL).hostname or "localhost",
    *env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]"),
]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
TRUST_PROXY = env_bool("TRUST_PROXY", default=False)
if TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Applications --------------------------------------------------------------------------

INSTALLED_APPS = [
    "daphne",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "project.accounts",
    "project.api",
    "project.webhooks",
    "project.web",
    "project.bench",
    "generation",
    "sessions",
]

MIDDLEWARE = [
    "project.api.counting.CountingMiddleware",
    "project.api.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "project.web.csp.AdminCspMiddleware",
    "project.api.middleware.ApiMiddleware",
]

ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ],
        },
    },
]

# --- Data ----------------------------------------------------------------------------------

DATABASES = {"default": database(env_str("DATABASE_URL", f"sqlite:///{PARLEY_HOME / 'parley.sqlite3'}"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"

REDIS_URL = env_str("REDIS_URL", "redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
    },
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "layer"},
    },
}

S3_ENDPOINT_URL = env_str("S3_ENDPOINT_URL", "http://127.0.0.1:8333")
S3_PUBLIC_ENDPOINT_URL = env_str("S3_PUBLIC_ENDPOINT_URL") or S3_ENDPOINT_URL
S3_REGION = env_str("S3_REGION", "us-east-1")
S3_BUCKET = env_str("S3_BUCKET", "parley")
S3_ACCESS_KEY_ID = env_str("S3_ACCESS_KEY_ID")
S3_SECRET_ACCESS_KEY = env_str("S3_SECRET_ACCESS_KEY")
# Where the S3 server keeps its data, if on a disk of this machine: some say only "internal error"
# when that is full, and then we look ourselves.
S3_DATA_DIR = env_str("S3_DATA_DIR")
PRESIGNED_URL_SECONDS = env_int("PRESIGNED_URL_SECONDS", 3600, minimum=1)

# --- Speech --------------------------------------------------------------------------------

SPEECH_URL = env_str("SPEECH_URL", "http://127.0.0.1:8600")
SPEECH_API_KEY = env_key("SPEECH_API_KEY")
# A folder of voices that is shared with speech services of one's own, here and as they see it.
SPEECH_ASSETS_DIR = env_str("SPEECH_ASSETS_DIR")
SPEECH_ASSETS_SERVICE_DIR = env_str("SPEECH_ASSETS_SERVICE_DIR")

# --- Providers -----------------------------------------------------------------------------

# A folder with more files like those in configs/providers.
PROVIDERS_DIR = env_str("PROVIDERS_DIR")
# {"DASHSCOPE": {"base_url": ..., "api_key": ..., "model": ...}}: what the environment says of each account
PROVIDERS = env_providers(
    [BASE_DIR / "configs" / "providers", *([Path(PROVIDERS_DIR)] if PROVIDERS_DIR else [])]
)
# Who serves, in this order, where a session, clip or persona does not say: the next one takes over
# while nothing was delivered.
TTS_PROVIDERS = env_list("TTS_PROVIDERS", "local")
STT_PROVIDERS = env_list("STT_PROVIDERS", "local")
LLM_PROVIDERS = env_list("LLM_PROVIDERS", "llm")
# Who turns passages and questions into vectors; without one they are found by their words alone.
EMBEDDING_PROVIDERS = env_list("EMBEDDING_PROVIDERS")

# --- Models --------------------------------------------------------------------------------

# A folder with more files like those in configs/models, and with plug-ins in plugins/.
MODELS_DIR = env_str("MODELS_DIR")
# Where the files of networks lie, each below it as its model's file says (`manage.py models`).
MODEL_WEIGHTS_DIR = env_str("MODEL_WEIGHTS_DIR", str(PARLEY_HOME / "models"))
# {"WAV2LIP_BACKEND": "omnirt", "OMNIRT_URL": ...}: what the environment says of models
MODEL_SETTINGS = env_models([BASE_DIR / "configs" / "models", *([Path(MODELS_DIR)] if MODELS_DIR else [])])
if MODELS_DIR:
    MODEL_SETTINGS["MODELS_DIR"] = MODELS_DIR

# --- Celery --------------------------------------------------------------------------------

# A worker or the scheduler makes this file once it is ready; each has its own.
READY_FILE = env_str("READY_FILE")
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Fragments are short and every claim is fenced in the database, so a second delivery is
    # harmless; the reconciler does not wait for this.
    "visibility_timeout": 900,
    "global_keyprefix": "celery:",
    "socket_keepalive": True,
    "health_check_interval": 10,
    # A broker that hangs instead of dying must not hang whoever publishes: the row is written, and
    # the reconciler sends its message later. Longer than one blocking read of a worker (1 s).
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- Avatars -------------------------------------------------------------------------------

# Slugs of the built-in avatars to offer; "all", or "none".
BUILTIN_AVATARS = env_list("BUILTIN_AVATARS", "all")
# What built-in and new avatars are prepared for beside their own model.
AVATAR_MODELS = env_list("AVATAR_MODELS")

# --- Live sessions -------------------------------------------------------------------------

# Sessions that may be active at once in the whole service; further ones wait in a queue.
LIVE_MAX_SESSIONS = env_int("LIVE_MAX_SESSIONS", 100, minimum=1)
# A client token has to be used within this time; then it lives as long as its session.
LIVE_TOKEN_SECONDS = env_int("LIVE_TOKEN_SECONDS", 300, minimum=1)
LIVE_CONNECT_TIMEOUT_SECONDS = env_int("LIVE_CONNECT_TIMEOUT_SECONDS", 20, minimum=1)
LIVE_IDLE_TIMEOUT_SECONDS = env_int("LIVE_IDLE_TIMEOUT_SECONDS", 300, minimum=1)
LIVE_MAX_DURATION_SECONDS = env_int("LIVE_MAX_DURATION_SECONDS", 1800, minimum=1)
LIVE_WARNING_SECONDS = env_int("LIVE_WARNING_SECONDS", 60)
LIVE_RECONNECT_SECONDS = env_int("LIVE_RECONNECT_SECONDS", 30, minimum=1)
LIVE_SLOT_TIMEOUT_SECONDS = env_int("LIVE_SLOT_TIMEOUT_SECONDS", 20, minimum=1)
LIVE_QUEUE_TIMEOUT_SECONDS = env_int("LIVE_QUEUE_TIMEOUT_SECONDS", 300, minimum=1)
# How long a host is believed to live after it was heard last.
# Sessions that may speak at once for each live render worker; 0 is what its model says.
LIVE_SLOTS = env_int("LIVE_SLOTS", 0)
LIVE_LEASE_SECONDS = env_int("LIVE_LEASE_SECONDS", 6, minimum=1)
# What is made of a part that fails in the middle of a reply: the avatar says so, or it is written.
LIVE_FAILURE = env_str("LIVE_FAILURE", "spoken", choices=("spoken", "written"))

# Avatar left and customer right, or both on both.
RECORDING_LAYOUT = env_str("RECORDING_LAYOUT", "stereo", choices=("stereo", "mixed"))
RECORDING_DAYS = env_int("RECORDING_DAYS", 30, minimum=1)
SESSION_RETENTION_DAYS = env_int("SESSION_RETENTION_DAYS", 90, minimum=1)
# Shown before anything of a recorded session is heard; {days} is how long the recording is kept.
RECORDING_CONSENT = env_str(
    "RECORDING_CONSENT",
    "This conversation is recorded: picture, sound and transcript. The recording is kept for {days} days.",
).replace("{days}", str(RECORDING_DAYS))

# No server of strangers is asked by default: on one network nobody needs one.
STUN_URLS = env_list("STUN_URLS")
TURN_URLS = env_list("TURN_URLS")
TURN_SECRET = env_str("TURN_SECRET")
TURN_CREDENTIAL_SECONDS = env_int("TURN_CREDENTIAL_SECONDS", 7200, minimum=60)
if TURN_URLS and not TURN_SECRET:
    raise ImproperlyConfigured("TURN_URLS is set, and TURN_SECRET is not: clients would be sent away")
# The address that browsers reach us at where it is none of this host's own, and UDP ports to use.
RTC_ADDRESS = env_str("RTC_ADDRESS")
RTC_PORTS = env_range("RTC_PORTS")

# Any OpenAI-compatible endpoint; without one, personas answer from their own knowledge.
LLM_BASE_URL = env_str("LLM_BASE_URL")
LLM_API_KEY = env_key("LLM_API_KEY")
LLM_MODEL = env_str("LLM_MODEL")
LLM_MAX_TOKENS = env_int("LLM_MAX_TOKENS", 400, minimum=1)
LIVE_MAX_ANSWER_SECONDS = env_int("LIVE_MAX_ANSWER_SECONDS", 90, minimum=5)
LLM_TIMEOUT_SECONDS = env_int("LLM_TIMEOUT_SECONDS", 20, minimum=1)

# Slugs of the built-in personas to offer; "all", or "none".
BUILTIN_PERSONAS = env_list("BUILTIN_PERSONAS", "all")

# --- Limits and retention ------------------------------------------------------------------

MAX_SCRIPT_CHARACTERS = env_int("MAX_SCRIPT_CHARACTERS", 20_000, minimum=1)
MAX_CLIP_SECONDS = env_int("MAX_CLIP_SECONDS", 3600, minimum=1)
MAX_AUDIO_BYTES = env_int("MAX_AUDIO_BYTES", 100 * 1024 * 1024, minimum=1)
MAX_IMAGE_BYTES = env_int("MAX_IMAGE_BYTES", 20 * 1024 * 1024, minimum=1)
MAX_VIDEO_BYTES = env_int("MAX_VIDEO_BYTES", 200 * 1024 * 1024, minimum=1)
MAX_JSON_BYTES = env_int("MAX_JSON_BYTES", 2 * 1024 * 1024, minimum=1)
MAX_DOCUMENT_BYTES = env_int("MAX_DOCUMENT_BYTES", 20 * 1024 * 1024, minimum=1)
MAX_DOCUMENT_PAGES = env_int("MAX_DOCUMENT_PAGES", 2_000, minimum=1)
# Of one persona; and bytes of all documents of one account.
PERSONA_MAX_DOCUMENTS = env_int("PERSONA_MAX_DOCUMENTS", 200, minimum=1)
PERSONA_MAX_PASSAGES = env_int("PERSONA_MAX_PASSAGES", 20_000, minimum=1)
ACCOUNT_MAX_DOCUMENT_BYTES = env_int("ACCOUNT_MAX_DOCUMENT_BYTES", 1024 * 1024 * 1024, minimum=1)
CLIP_RETENTION_DAYS = env_int("CLIP_RETENTION_DAYS", 30, minimum=1)
UPLOAD_RETENTION_DAYS = env_int("UPLOAD_RETENTION_DAYS", 7, minimum=1)
WEBHOOK_RETENTION_DAYS = env_int("WEBHOOK_RETENTION_DAYS", 30, minimum=1)
# What an account may use unless its own allowance says otherwise.
DEFAULT_ALLOWANCE = {
    "clips_in_flight": env_int("ALLOWANCE_CLIPS_IN_FLIGHT", 100),
    "video_seconds_a_day": env_int("ALLOWANCE_VIDEO_SECONDS_A_DAY", 36_000),
    "concurrent_sessions": env_int("ALLOWANCE_CONCURRENT_SESSIONS", 4),
    "session_minutes_a_day": env_int("ALLOWANCE_SESSION_MINUTES_A_DAY", 600),
    "cloned_voices": env_int("ALLOWANCE_CLONED_VOICES", 10),
    "requests_a_minute": env_int("ALLOWANCE_REQUESTS_A_MINUTE", 600),
    # Slots of render workers at once; 0 for any number.
    "live_slots": env_int("ALLOWANCE_LIVE_SLOTS", 16),
}
# Called (by this name: it lives above the webhooks) when deliveries were queued.
WEBHOOK_WAKER = "workers.dispatch:webhooks_due"
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_JSON_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
# Private addresses that callbacks and fetches may reach, for a closed network; empty is safe.
EGRESS_ALLOWED_NETWORKS = env_list("EGRESS_ALLOWED_NETWORKS")

# --- Sign-in and browser security ----------------------------------------------------------

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
CSRF_FAILURE_VIEW = "project.api.handlers.csrf_failure"
LOGIN_URL = "web:login"
LOGIN_REDIRECT_URL = "studio:home"
LOGOUT_REDIRECT_URL = "web:login"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "parley_login"
SESSION_COOKIE_AGE = 14 * 24 * 3600
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
HEALTH_TOKEN = env_str("HEALTH_TOKEN")
METRICS_TOKEN = env_str("METRICS_TOKEN")
# What this process is called in figures and logs; the supervisor says it.
PROCESS_NAME = env_str("PROCESS_NAME", Path(sys.argv[0]).stem or "python")
# Where the processes of this machine keep their figures together; without it each tells only its own.
METRICS_DIR = env_str("METRICS_DIR")
# With a port, processes serve their figures there: workers have no other page.
METRICS_HOST = env_str("METRICS_HOST", "127.0.0.1")
METRICS_PORT = env_int("METRICS_PORT", 0)

_MEDIA_ORIGIN = "{0.scheme}://{0.netloc}".format(urlsplit(S3_PUBLIC_ENDPOINT_URL))
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:", _MEDIA_ORIGIN],
        "media-src": ["'self'", "blob:", _MEDIA_ORIGIN],
        "connect-src": ["'self'", _MEDIA_ORIGIN],
        "worker-src": ["'self'", "blob:"],
        "font-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- REST ----------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "project.accounts.authentication.ApiKeyAuthentication",
        "project.accounts.authentication.LoginSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["project.accounts.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["project.api.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "project.api.negotiation.FirstRenderer",
    "DEFAULT_PAGINATION_CLASS": "project.api.pagination.NewestFirst",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["project.api.throttling.AccountThrottle"],
    "EXCEPTION_HANDLER": "project.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Parley",
    "DESCRIPTION": "Talking-avatar videos and live sessions.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "AvatarStatus": "generation.avatars.models.AvatarStatus",
        "ClipStatus": "generation.clips.models.ClipStatus",
        "DocumentStatus": "sessions.knowledge.models.DocumentStatus",
        "DeliveryStatus": "project.webhooks.models.DeliveryStatus",
        "RecordingStatus": "sessions.models.RecordingStatus",
        "SessionStatus": "sessions.models.SessionStatus",
        "TurnStatus": "sessions.models.TurnStatus",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "generation.api.openapi.add_events",
        "project.api.openapi.add_problems",
        "project.webhooks.openapi.add_webhooks",
    ],
}

UNFOLD = {
    "SITE_TITLE": "Parley",
    "SITE_HEADER": "Parley",
    "SITE_URL": "/",
    "SITE_ICON": "/static/web/favicon.svg",
    "SITE_FAVICONS": [{"rel": "icon", "href": "/static/web/favicon.svg", "type": "image/svg+xml"}],
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 180)",
            "100": "oklch(94% .03 180)",
            "200": "oklch(88% .06 180)",
            "300": "oklch(80% .09 180)",
            "400": "oklch(70% .1 180)",
            "500": "oklch(58% .095 180)",
            "600": "oklch(48% .08 180)",
            "700": "oklch(42% .07 180)",
            "800": "oklch(36% .06 180)",
            "900": "oklch(31% .05 180)",
            "950": "oklch(22% .04 180)",
        },
    },
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}

# --- The rest ------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = PARLEY_HOME / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Served from the packages themselves: nothing to collect before the first start.
WHITENOISE_USE_FINDERS = True

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

LOG_LEVEL = env_str("LOG_LEVEL", "INFO")
LOG_FORMAT = env_str("LOG_FORMAT", "line", choices=("line", "json"))
# Whether logs may hold what was said and written: scripts, questions, answers.
LOG_SPOKEN_TEXT = env_bool("LOG_SPOKEN_TEXT", default=False)
# At DEBUG these tell what they send and get: questions, answers, rows, tokens in addresses.
_TALKATIVE = (
    *("aiohttp", "botocore", "celery.concurrency", "channels", "daphne", "django.db.backends", "edge_tts"),
    *("httpcore", "httpx", "openai", "urllib3", "websockets"),
)
_WRITING = {"discreet": not LOG_SPOKEN_TEXT, "process": PROCESS_NAME}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "context": {"()": "project.tracing.ContextFilter"},
        "strangers": {"()": "workers.strangers.StrangersFilter"},
    },
    "formatters": {
        "line": {"()": "workers.logs.LineFormatter", **_WRITING},
        "json": {"()": "workers.logs.JsonFormatter", **_WRITING},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["context", "strangers"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.request": {"level": "ERROR"},
        **{name: {"level": "WARNING"} for name in _TALKATIVE},
        # aioredis-level chatter of the broker connection
        "kombu": {"level": "WARNING"},
    },
}

# Where traces are sent, an OTLP/HTTP collector such as http://localhost:4318; none are kept without it.
OTEL_EXPORTER_OTLP_ENDPOINT = env_str("OTEL_EXPORTER_OTLP_ENDPOINT")
OTEL_EXPORTER_OTLP_HEADERS = env_pairs("OTEL_EXPORTER_OTLP_HEADERS")
OTEL_SERVICE_NAME = env_str("OTEL_SERVICE_NAME", "parley")
# The share of clips and turns that are traced.
OTEL_TRACES_SAMPLER_ARG = env_share("OTEL_TRACES_SAMPLER_ARG", 1.0)
