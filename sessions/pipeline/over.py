"""What is left of a turn for those who look after the service: a line in the log, for the avatar's a trace.

Both tell how long things took and what came of them; neither what was said, unless a setting says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings

from project import context, tracing

if TYPE_CHECKING:
    from sessions.pipeline.account import Account
    from sessions.pipeline.ports import TurnRecord

_log = logging.getLogger(__name__)

_DRAWN = "render"
"""Each request for a fragment has a span already, made where it was asked for."""


def tell(session_id: str, account: Account) -> None:
    """Tell of a turn that is over. Whatever goes wrong with that, the turn is over all the same."""
    with context.about(session=session_id, turn=account.turn):
        try:
            _tell(session_id, account)
        except Exception:  # noqa: BLE001 - see above
            _log.exception("A turn cannot be told of")


def _tell(session_id: str, account: Account) -> None:
    _log.info(
        "A turn is over: %s", _outcome(account), extra=context.facts(**_facts(account), **_said(account))
    )
    _trace(session_id, account)


def heard(session_id: str, turn: TurnRecord) -> None:
    """Tell of a turn of the customer's."""
    said = {"text": turn.text} if settings.LOG_SPOKEN_TEXT else {}
    with context.about(session=session_id, turn=turn.number):
        facts = context.facts(source=turn.source, characters=len(turn.text), **said)
        _log.info("The customer took a turn", extra=facts)


def _outcome(account: Account) -> str:
    if account.failed:
        return account.fault
    if account.interrupted:
        return "interrupted"
    return "done"


def _facts(account: Account) -> dict[str, Any]:
    measures = account.measures
    found: dict[str, Any] = {
        "source": account.source,
        "took_ms": round((_now() - measures.origin) * 1000),
        "audible_ms": None
        if measures.audible is None
        else round((measures.audible - measures.origin) * 1000),
        "pieces": len(account.playing),
        "characters": len(account.text),
        "frames": measures.rendered_frames or None,
        "underruns": measures.underruns or None,
        "seams": measures.seams or None,
        "stt": measures.stt_provider or None,
        "llm": measures.llm_provider or None,
        "tts": measures.tts_provider or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _said(account: Account) -> dict[str, str]:
    return {"text": account.text, "heard_text": account.heard_text} if settings.LOG_SPOKEN_TEXT else {}


def _trace(session_id: str, account: Account) -> None:
    """Tell the turn's root, and below it every stage that has none yet."""
    ahead, origin = time.time() - _now(), account.measures.origin
    plan = tracing.turn(session_id, account.turn)
    span = tracing.root("turn", plan, at=origin + ahead, outcome=_outcome(account), **_facts(account))
    if span is tracing.NOTHING:
        return
    for stage in account.measures.waterfall.told(origin):
        begun, ended = (origin + ahead + stage.pop(name) / 1000 for name in ("from_ms", "to_ms"))
        if (name := stage.pop("name")) != _DRAWN:
            span.past(name, begun, ended, **stage)
    if account.failed:
        span.fail(account.fault)
    span.end()


def _now() -> float:
    return asyncio.get_running_loop().time()
