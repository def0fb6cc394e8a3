"""What a client may send over the WebSocket of a session, and everything near it that it may not.

A message is a `dict`: {"text": ...} or {"bytes": hexadecimal digits}, so that a conversation can be kept
as JSON and tried again.
"""

import json
from typing import Any

from hypothesis import strategies as st

from sessions.runtime.messages import FIELDS, MAX_AUDIO_BYTES, MAX_TEXT_BYTES
from tests.bad_input.strings import broken_lines, odd_text
from tests.support.offers import CHROMIUM

Message = dict[str, str]

CANDIDATE = "candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host generation 0 ufrag 4ZcD network-id 1"
# What is not written into JSON by everybody, and read by some.
ODD_JSON = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-0",
    "9" * 400,
    "1e-400",
    '"\\ud800"',
    "[]",
    "{}",
    "null",
    "true",
)


def values() -> st.SearchStrategy[Any]:
    """Any value that JSON has, and a little nesting."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        odd_text(),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(odd_text(), inner, max_size=4)),
        max_leaves=8,
    )


def candidates() -> st.SearchStrategy[Any]:
    words = CANDIDATE.split()
    changed = st.tuples(st.integers(0, len(words) - 1), odd_text()).map(
        lambda pair: " ".join([*words[: pair[0]], pair[1], *words[pair[0] + 1 :]])
    )
    line = st.one_of(st.just(CANDIDATE), changed, odd_text())
    known = st.fixed_dictionaries(
        {"candidate": line},
        optional={"sdpMid": values(), "sdpMLineIndex": values(), "usernameFragment": values()},
    )
    return st.one_of(known, values())


def offers() -> st.SearchStrategy[str]:
    return st.one_of(broken_lines(CHROMIUM), broken_lines(CHROMIUM), odd_text())


def near_messages() -> st.SearchStrategy[Message]:
    """A type that there is, with fields that may be anything."""
    special = {"sdp": offers(), "candidate": candidates()}

    def of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
        fields = {name: st.one_of(special.get(name, odd_text()), values()) for name in FIELDS[kind]}
        return st.fixed_dictionaries({"type": st.just(kind)}, optional={**fields, "extra": values()})

    # What ends a session would make most of a conversation unheard.
    kinds = [kind for kind in FIELDS if kind != "session.end"]
    return st.sampled_from(kinds).flatmap(of).map(_as_text)


def far_messages() -> st.SearchStrategy[Message]:
    """What is no message at all: broken JSON, deep, long, or none."""
    text = st.one_of(
        odd_text(),
        st.sampled_from(ODD_JSON),
        st.sampled_from(ODD_JSON).map(lambda odd: f'{{"type": "user.text", "text": {odd}}}'),
        st.sampled_from(ODD_JSON).map(lambda odd: f'{{"type": "rtc.offer", "sdp": "x", "id": {odd}}}'),
        st.integers(1, 20_000).map(lambda depth: "[" * depth),
        st.integers(1, 5_000).map(lambda depth: '{"type":' * depth),
        st.integers(-3, 3).map(lambda more: json.dumps({"type": "ping", "x": "y" * (MAX_TEXT_BYTES + more)})),
        st.dictionaries(odd_text(), values(), max_size=4).map(lambda value: _as_text(value)["text"]),
        values().map(lambda kind: _as_text({"type": kind})["text"]),
    )
    return text.map(lambda content: {"text": content.encode("utf-8", "replace").decode()})


def sounds() -> st.SearchStrategy[Message]:
    """Binary messages: odd sizes, nothing, and just over what is taken."""
    small = st.binary(max_size=700)
    bounds = st.integers(-3, 3).map(lambda more: bytes(MAX_AUDIO_BYTES + more))
    loud = st.integers(1, 2_000).map(lambda samples: b"\xff\x7f\x00\x80" * samples)
    return st.one_of(small, small, loud, bounds).map(lambda data: {"bytes": data.hex()})


def conversations() -> st.SearchStrategy[list[Message]]:
    """Some messages, one after the other."""
    one = st.one_of(near_messages(), near_messages(), far_messages(), sounds())
    return st.lists(one, min_size=1, max_size=12)


def _as_text(value: Any) -> Message:
    return {"text": json.dumps(value)}
