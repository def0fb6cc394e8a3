"""Who comes to a stack: a customer with one of everything, and callers who may have none of it."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from project.bench.stack import EmbeddedStack
from tests.bad_input.access import Caller
from tests.bad_input.target import PASSWORD, Person, person

# Keys that once were good, or are somebody else's; made by whoever runs the stack, as the API refuses to.
KEYS = """
import json
from datetime import timedelta
from django.utils import timezone
from project.accounts import keys
from project.accounts.models import ApiKey, User
owner = User.objects.get(email={victim!r})
made = {{}}
row, made["expired"] = keys.create(owner, name="Expired")
ApiKey.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
row, made["revoked"] = keys.create(owner, name="Revoked")
ApiKey.objects.filter(pk=row.pk).update(revoked_at=timezone.now())
row, made["narrow"] = keys.create(owner, name="Narrow", scopes=[])
gone, _ = User.objects.get_or_create(email="gone-" + {victim!r}, defaults={{"name": "Gone"}})
row, made["disabled"] = keys.create(gone, name="Disabled")
User.objects.filter(pk=gone.pk).update(is_active=False)
print("MADE", json.dumps(made))
"""


@dataclass(frozen=True)
class Victim:
    """A customer with one of everything. `names` are what addresses are filled with: {"clip_id": ...}."""

    person: Person
    clip: dict[str, Any]
    names: dict[str, str]
    client_token: str

    @property
    def key(self) -> str:
        return self.person.key


def victim(stack: EmbeddedStack, avatar: str, email: str) -> Victim:
    """Make one, whose clip succeeded."""
    them = person(stack, email)
    with them.client(stack.base_url) as api:
        clip = _clip(api, avatar)
        hook = _made(api, "webhook-endpoints", {"url": "http://127.0.0.2:9/hook"})
        api.post(f"/api/v1/webhook-endpoints/{hook['id']}/test")
        sent = api.get(f"/api/v1/webhook-endpoints/{hook['id']}/deliveries").json()["results"]
        session = _made(api, "sessions", {"avatar": avatar})
        persona = _made(api, "personas", {"name": "Mine alone"})["id"]
        written = {"name": "mine.txt", "text": "The code of my door is one two three four."}
        document = _made(api, f"personas/{persona}/documents", written)["id"]
    names = {"clip_id": clip["id"], "endpoint_id": hook["id"], "key_id": them.key_id}
    names |= {"delivery_id": sent[0]["id"] if sent else "whd_0", "session_id": session["id"]}
    names |= {"persona_id": persona, "document_id": document, "recording_id": "rec_0"}
    names |= {"avatar_id": avatar, "voice_id": "en-heart", "kind": "video", "index": "0"}
    return Victim(them, clip, names, session["client_token"])


def _made(api: httpx.Client, what: str, wish: Mapping[str, Any]) -> dict[str, Any]:
    answer = api.post(f"/api/v1/{what}", json=wish)
    assert answer.status_code in (201, 202), answer.text
    return dict(answer.json())


def _clip(api: httpx.Client, avatar: str) -> dict[str, Any]:
    clip = _made(api, "clips", {"avatar": avatar, "script": "This is mine."})
    deadline = time.monotonic() + 240
    while clip["status"] not in ("succeeded", "failed"):
        assert time.monotonic() < deadline, clip
        time.sleep(0.5)
        clip = api.get(f"/api/v1/clips/{clip['id']}").json()
    assert clip["status"] == "succeeded", clip
    return clip


def callers(stack: EmbeddedStack, victim: Victim, *, thoroughly: bool = False) -> list[Caller]:
    """Everyone who has no business with the victim's things.

    Unless `thoroughly`, those whom the service should not know at all do less than nobody does.
    """
    printed = stack.manage("shell", "-c", KEYS.format(victim=victim.person.email))
    line = next(line for line in printed.splitlines() if line.startswith("MADE "))
    keys: dict[str, str] = json.loads(line.removeprefix("MADE "))
    good, stranger = victim.key, person(stack, f"stranger-to-{victim.person.email}")
    few: dict[str, Any] = {} if thoroughly else {"methods": ("GET", "DELETE"), "below": "/api/"}
    shown = {
        "an expired key": f"Bearer {keys['expired']}",
        "a revoked key": f"Bearer {keys['revoked']}",
        "a disabled account": f"Bearer {keys['disabled']}",
        "an altered key": f"Bearer {good[:-1]}{'0' if good[-1] != '0' else '1'}",
        "a key in capitals": f"Bearer {good.upper()}",
        "another scheme": "Basic " + base64.b64encode(f"{victim.person.email}:{PASSWORD}".encode()).decode(),
    }
    unknown = [Caller(name, {"Authorization": value}, "unknown", **few) for name, value in shown.items()]
    owns = {"Authorization": f"Bearer {victim.client_token}"}
    runs = {"Authorization": f"Bearer {stack.secrets['metrics_token']}"}
    return [
        Caller("nobody", {}, "unknown"),
        *unknown,
        Caller("a session's token", owns, "unknown", frozenset({"token"}), ("GET", "DELETE")),
        Caller("the operator's token", runs, "unknown", frozenset({"operator"}), ("GET",)),
        Caller("a forged cookie", {"Cookie": "parley_login=" + "a" * 32}, "unknown", methods=("GET",)),
        Caller("a narrow key", _bearer(keys["narrow"]), "narrow", methods=("GET", "POST"), below="/api/"),
        Caller("a stranger", _bearer(stranger.key), "stranger", below="/api/"),
        Caller(
            "a stranger's key on pages", _bearer(stranger.key), "unknown", methods=("GET",), below="/live/"
        ),
        Caller("a stranger's browser", signed_in(stack, stranger), "stranger", methods=("GET", "POST")),
    ]


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def signed_in(stack: EmbeddedStack, who: Person) -> dict[str, str]:
    """The headers of a browser in which this customer signed in."""
    with httpx.Client(base_url=stack.base_url, timeout=30) as browser:
        browser.get("/login/")
        form = {
            "username": who.email,
            "password": PASSWORD,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        answer = browser.post("/login/", data=form, headers={"Referer": f"{stack.base_url}/login/"})
        assert answer.status_code == 302, answer.text
        return {"Cookie": f"parley_login={browser.cookies['parley_login']}"}
