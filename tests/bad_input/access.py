"""Every address with every method, tried by everyone who has no business there.

`KINDS` says of each address whose it is. One that is not in it fails the tests: whoever adds an address
decides here who may come, before anybody does.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import httpx
from django.urls import URLPattern, URLResolver, get_resolver

from tests.bad_input.findings import Finding, Findings

PART = "access"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")
# What reads, and may be answered to those who may read.
SAFE = ("GET", "HEAD", "OPTIONS")

Kind = Literal["public", "own", "thing", "shared", "page", "thing page", "staff", "operator", "call", "token"]

_API = "/api/v1"
_CLIP, _SESSION, _PERSONA = (
    f"{_API}/clips/<clip_id>",
    f"{_API}/sessions/<session_id>",
    f"{_API}/personas/<persona_id>",
)
_HOOK, _CALLBACK = f"{_API}/webhook-endpoints/<endpoint_id>", f"{_API}/callback-deliveries"
_OF_A_CLIP = (
    *("", "/cancel", "/captions.srt", "/captions.vtt", "/events", "/poster", "/video", "/preview.m3u8"),
    *("/preview/<kind>.m3u8", "/preview/<kind>/<index>.m4s", "/preview/<kind>/init.mp4"),
)
_OF_A_SESSION = ("", "/ask", "/end", "/interrupt", "/latency", "/say", "/transcript", "/transcript.vtt")
_OF_A_PERSONA = ("", "/documents", "/documents/<document_id>", "/search")
_LISTS = (
    *("api-keys", "avatars", "callback-deliveries", "clips", "clips/batch", "clips/estimate", "me"),
    *("me/rotate-callback-secret", "models", "personas", "providers", "recordings", "sessions"),
    *("transcriptions", "uploads", "voices", "voices/consent", "voices/copies", "webhook-endpoints"),
)

_PUBLIC = ("/api/docs/", "/api/schema/", "/livez", "/readyz", "/login/", "/logout/", "/favicon.ico")

KINDS: dict[str, Kind] = {
    # Anybody: signing in, that the service lives, what its API looks like.
    **dict.fromkeys(_PUBLIC, "public"),
    # Everybody with a key: their own, and the catalogue.
    **dict.fromkeys((f"{_API}/{name}" for name in _LISTS), "own"),
    # One thing of somebody's.
    **dict.fromkeys((f"{_CLIP}{below}" for below in _OF_A_CLIP), "thing"),
    **dict.fromkeys((f"{_SESSION}{below}" for below in _OF_A_SESSION), "thing"),
    **dict.fromkeys((f"{_PERSONA}{below}" for below in _OF_A_PERSONA), "thing"),
    **dict.fromkeys((f"{_HOOK}{below}" for below in ("", "/rotate-secret", "/test", "/deliveries")), "thing"),
    **dict.fromkeys(
        (f"{_HOOK}/deliveries/<delivery_id>", f"{_HOOK}/deliveries/<delivery_id>/replay"), "thing"
    ),
    **dict.fromkeys((f"{_CALLBACK}/<delivery_id>", f"{_CALLBACK}/<delivery_id>/replay"), "thing"),
    **dict.fromkeys((f"{_API}/api-keys/<key_id>", f"{_API}/api-keys/<key_id>/rotate"), "thing"),
    **dict.fromkeys(
        (f"{_API}/recordings/<recording_id>", f"{_API}/recordings/<recording_id>/video"), "thing"
    ),
    # One thing that everybody sees, and staff change.
    **dict.fromkeys((f"{_API}/avatars/<avatar_id>", f"{_API}/avatars/<avatar_id>/prepare"), "shared"),
    **dict.fromkeys((f"{_API}/voices/<voice_id>", f"{_API}/voices/<voice_id>/preview"), "shared"),
    # Pages for whoever is signed in; what is on them comes over the API.
    **dict.fromkeys(("/", "/account/", "/account/password/", "/models/", "/providers/", "/live/"), "page"),
    **dict.fromkeys(("/personas/", "/sessions/"), "page"),
    **dict.fromkeys(
        ("/personas/<persona_id>", "/sessions/<session_id>", "/sessions/<session_id>/"), "thing page"
    ),
    **dict.fromkeys(("/sessions/<session_id>/latency", "/sessions/<session_id>/latency/"), "thing page"),
    **dict.fromkeys(("/live/console/", "/live/console/sessions", "/live/console/<session_id>/end"), "staff"),
    # A call: whoever is sent there has a token, and nothing is on the page without.
    **dict.fromkeys(("/live/<session_id>", "/live/<session_id>/"), "call"),
    "/live/<session_id>/info": "token",
    "/metrics": "operator",
}

# What these callers may be answered. OPTIONS tells what an address takes, and nothing of anybody's.
_LOST = frozenset({401, 403, 404, 405})
_SENT_TO_LOGIN = _LOST | {302}
_UNKNOWN: Mapping[Kind, frozenset[int]] = {
    "own": frozenset({401, 405}),
    "thing": frozenset({401, 405}),
    "shared": frozenset({401, 405}),
    "page": _SENT_TO_LOGIN,
    "thing page": _SENT_TO_LOGIN,
    "staff": _SENT_TO_LOGIN,
    "operator": _LOST,
    "token": _LOST,
}
# With a key or a login of another customer's; {} is no request that does anything.
_STRANGER: Mapping[Kind, frozenset[int]] = {
    "own": frozenset({400, 403, 405, 415}),
    "thing": frozenset({403, 404, 405}),
    "shared": frozenset({403, 404, 405, 409}),
    "page": _SENT_TO_LOGIN,
    "thing page": _SENT_TO_LOGIN,
    "staff": _SENT_TO_LOGIN,
    "operator": _LOST,
    "token": _LOST,
}
_READS: frozenset[int] = frozenset({200, 204, 302})
Who = Literal["unknown", "stranger", "narrow"]


def patterns() -> list[str]:
    """Every address of the service, with <names> where something is filled in."""
    return sorted(set(_walk(get_resolver().url_patterns, "/")))


def _walk(entries: Iterable[URLPattern | URLResolver], before: str) -> Iterator[str]:
    for entry in entries:
        text = before + _plain(str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, text)
        else:
            yield text


def _plain(pattern: str) -> str:
    """Turn `path` converters and regular expressions into <names>."""
    text = re.sub(r"<\w+:(\w+)>", r"<\1>", pattern)
    text = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"<\1>", text)
    return text.removeprefix("^").removesuffix("$").removesuffix(r"\Z").replace("\\", "")


def filled(pattern: str, names: Mapping[str, str]) -> str:
    return re.sub(r"<(\w+)>", lambda found: names.get(found[1], "1"), pattern)


def kind(pattern: str) -> Kind | None:
    """Whose an address is; None where nobody said so."""
    if pattern.startswith("/admin/"):
        return "public" if pattern == "/admin/login/" else "staff"
    return KINDS.get(pattern)


@dataclass(frozen=True)
class Caller:
    """`may` are the kinds that a caller who is otherwise unknown has the right token for.

    `methods` and `below` (the beginning of an address) say how much of the service is tried.
    """

    name: str
    headers: Mapping[str, str]
    who: Who
    may: frozenset[str] = frozenset()
    methods: tuple[str, ...] = METHODS
    below: str = "/"

    def wants(self, pattern: str, method: str) -> bool:
        return pattern.startswith(self.below) and method in self.methods


def allowed(caller: Caller, pattern: str, method: str) -> frozenset[int]:
    """The statuses that this caller may be answered there."""
    whose = kind(pattern)
    assert whose is not None, f"nobody said whose {pattern} is"
    if method == "TRACE":
        return frozenset({400, 401, 403, 404, 405, 302, 501})
    if whose in ("public", "call") or whose in caller.may:
        return _LOST | (_READS if method in SAFE else frozenset())
    if method == "OPTIONS" and (whose == "token" or (caller.who != "unknown" and pattern.startswith(_API))):
        return _LOST | _READS
    if caller.who == "unknown":
        return _UNKNOWN[whose]
    if caller.who == "narrow":
        reads = _READS if pattern == f"{_API}/me" and method in SAFE else frozenset[int]()
        return _LOST | reads if pattern.startswith(_API) else _UNKNOWN[whose]
    statuses = _STRANGER[whose]
    by_cookie = "Cookie" in caller.headers
    if method in SAFE and (whose in ("own", "shared") or (by_cookie and whose in ("page", "thing page"))):
        statuses |= _READS
    if pattern == f"{_API}/me/rotate-callback-secret" and method == "POST":
        statuses |= {200}  # their own
    return statuses


def run(base_url: str, findings: Findings, callers: Iterable[Caller], names: Mapping[str, str]) -> None:
    """Ask for every address as every caller; `names` are a victim's."""
    every = [(pattern, method) for pattern in patterns() for method in METHODS]
    asked = [(caller, *one) for caller in callers for one in every if caller.wants(*one)]
    with httpx.Client(base_url=base_url, timeout=30) as client, ThreadPoolExecutor(3) as pool:

        def ask(one: tuple[Caller, str, str]) -> None:
            caller, pattern, method = one
            findings.count(PART)
            path = filled(pattern, names)
            if kind(pattern) is None:
                findings.add(Finding(PART, pattern, "nobody said whose this address is"))
                return
            status, location = told(client, method, path, caller.headers)
            case = {"caller": caller.name, "method": method, "path": path}
            if status >= 500 or status not in allowed(caller, pattern, method):
                findings.add(
                    Finding(PART, f"{method} {pattern}", f"{caller.name} is answered {status}", case)
                )
            elif status == 302 and not _leads_nowhere(pattern, location):
                findings.add(
                    Finding(PART, f"{method} {pattern}", f"{caller.name} is sent to {location}", case)
                )

        list(pool.map(ask, asked))


def _leads_nowhere(pattern: str, location: str) -> bool:
    """Whether a redirection sends a stranger to the login, away from it, or to what everybody may have."""
    path = location.partition("?")[0]
    if path in ("/login/", "/admin/login/", "/admin/") or pattern == "/login/":
        return True
    return pattern.startswith(("/favicon", f"{_API}/voices/", "/admin/")) or path.startswith("/static/")


def told(client: httpx.Client, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Status and redirection of an answer; one that streams on is not waited for."""
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    kind_ = {"Content-Type": "application/json"} if body else {}
    with client.stream(method, path, content=body, headers={**headers, **kind_}) as answer:
        return answer.status_code, answer.headers.get("location", "")
