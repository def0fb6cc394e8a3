"""What the tools of a conversation do outside of it: the `Desk` of `sessions.pipeline.ports`."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from django.utils import timezone

from project.accounts import signing
from project.accounts.models import User
from project.api.async_net import safe_post
from project.errors import Conflict, Unavailable
from project.ids import new_id
from sessions import announcements
from sessions.pipeline.ports import Desk
from sessions.runtime.database import AWAY, in_database

CALL_SECONDS = 5.0
MAX_ANSWER_BYTES = 8_000


class LiveDesk(Desk):
    """One per session. `over` ends it; `handed_over` is asked for once."""

    def __init__(self, session_id: str, owner_id: str, *, over: Callable[[], None]) -> None:
        self._session_id, self._owner_id, self._over = session_id, owner_id, over
        self._handed_over = False

    def end(self) -> None:
        self._over()

    async def handover(self, reason: str) -> None:
        if self._handed_over:
            raise Conflict("A colleague was asked for already.", code="handover_requested")
        self._handed_over = True
        try:
            await in_database(lambda: announcements.session_handover(self._session_id, reason))
        except AWAY as error:
            self._handed_over = False
            raise Unavailable("Nobody can be told now.", code="database_unavailable") from error

    async def call(self, name: str, url: str, arguments: Mapping[str, Any]) -> str:
        """Post the call, signed as a webhook is. What was asked and answered is written nowhere."""
        stamp = timezone.now().astimezone(UTC)
        event = {
            "type": "tool.called",
            "timestamp": stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "data": {"session": self._session_id, "tool": name, "arguments": dict(arguments)},
        }
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        headers = await self._signed(body, int(stamp.timestamp()))
        answer = await safe_post(
            url, content=body, headers=headers, max_bytes=MAX_ANSWER_BYTES, seconds=CALL_SECONDS
        )
        if not 200 <= answer.status < 300:
            raise Unavailable(f"The other server answered {answer.status}.", code="tool_refused")
        return answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd")

    async def _signed(self, body: bytes, timestamp: int) -> dict[str, str]:
        """The headers of Standard Webhooks, with the secret of the account's callbacks."""
        message_id = new_id("evt")
        try:
            keys = await in_database(self._keys)
        except AWAY as error:
            raise Unavailable("The call cannot be signed now.", code="database_unavailable") from error
        signatures = [
            signing.signature(key, message_id=message_id, timestamp=timestamp, body=body) for key in keys
        ]
        return {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }

    def _keys(self) -> list[str]:
        owner = User.objects.get(pk=self._owner_id)
        if not owner.is_active:
            raise Unavailable("The account is switched off.", code="account_disabled")
        return signing.secrets_in_force(
            owner.pk, owner.callback_secret_version, owner.callback_secret_rotated_at
        )
