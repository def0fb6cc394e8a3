"""Files: pictures, sound, films and documents, spoilt and posted wherever a file may be posted.

Whatever is in a file, the answer is a refusal that names what is wrong, or the file is taken; then it becomes
ready, or fails with a code.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from hypothesis import strategies as st

from tests.bad_input import explore
from tests.bad_input.explore import Broken
from tests.bad_input.files import files
from tests.bad_input.findings import Finding, Findings

PART = "media"
SLOW_SECONDS = 20.0
SETTLE_SECONDS = 180.0
SETTLE_AT_ONCE = 8  # more would wait for each other, and be no fault of the last one's
# The others are answered before anything is decoded, or by programs that everything else waits for.
WEIGHTS = {"uploads": 5, "documents": 3, "avatar pictures": 3, "avatar films": 2, "transcriptions": 1}

Input = tuple[str, tuple[str, bytes]]


@dataclass
class Doors:
    """Where files are posted. What was taken is kept until `settle`, by its address."""

    api: httpx.Client
    staff: httpx.Client
    persona: str
    taken: list[tuple[httpx.Client, str]] = field(default_factory=list)

    def post(self, door: str, name: str, data: bytes) -> httpx.Response:
        files = {"file": (name, data)}
        match door:
            case "uploads":
                return self.api.post("/api/v1/uploads", files=files)
            case "transcriptions":
                return self.api.post("/api/v1/transcriptions", files=files)
            case "documents":
                answer = self.api.post(f"/api/v1/personas/{self.persona}/documents", files=files)
                return self._kept(self.api, answer)
            case "avatar pictures":
                return self._avatar({"image": (name, data)})
            case "avatar films":
                return self._avatar({"video": (name, data)})
        raise LookupError(door)

    def _avatar(self, files: dict[str, tuple[str, bytes]]) -> httpx.Response:
        return self._kept(
            self.staff, self.staff.post("/api/v1/avatars", data={"name": "Spoilt"}, files=files)
        )

    def _kept(self, client: httpx.Client, answer: httpx.Response) -> httpx.Response:
        if answer.status_code in (201, 202):
            self.taken.append((client, answer.headers["location"]))
        return answer

    def settle(self, findings: Findings) -> None:
        """Wait until everything taken is ready or failed with a code, and delete it."""
        for client, where in self.taken:
            try:
                _settled(client, where)
            except Broken as error:
                findings.add(Finding(PART, where.rsplit("/", 1)[0], str(error), {"address": where}))
            with suppress(httpx.HTTPError):  # what it met before was told
                client.delete(where)
        self.taken.clear()


def _settled(client: httpx.Client, where: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        row = _row(client, where)
        if row["status"] in ("ready", "archived"):
            return
        if row["status"] == "failed":
            if not (row.get("failure") or {}).get("code") and not row.get("failure_code"):
                raise Broken(f"failed without a code: {json.dumps(row)[:400]}")
            return
        time.sleep(0.3)
    raise Broken(f"neither ready nor failed after {SETTLE_SECONDS:.0f} s: {row['status']}")


def _row(client: httpx.Client, where: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = client.get(where).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise Broken(f"cannot be looked at: {type(error).__name__}") from error
    return row


@contextmanager
def doors(base_url: str, key: str, staff_key: str) -> Iterator[Doors]:
    """The doors of a customer and of staff, and a persona of the customer's to give documents to."""
    with _client(base_url, key) as api, _client(base_url, staff_key) as staff:
        persona = api.post("/api/v1/personas", json={"name": "Reads anything"}).json()["id"]
        yield Doors(api, staff, persona)
        api.delete(f"/api/v1/personas/{persona}")


def _client(base_url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def inputs() -> st.SearchStrategy[Input]:
    weighted = [door for door, weight in WEIGHTS.items() for _ in range(weight)]
    return st.tuples(st.sampled_from(weighted), files())


def run(
    base_url: str,
    findings: Findings,
    *,
    key: str,
    staff_key: str,
    seed: int,
    examples: int = 200,
    seconds: float | None = None,
) -> None:
    """Post `examples` files, or as many as `seconds` allow."""
    with doors(base_url, key, staff_key) as them:

        def post(given: Input) -> None:
            findings.count(PART)
            door, (name, data) = given
            refuse_or_take(them.post, door, name, data)
            if len(them.taken) >= SETTLE_AT_ONCE:
                them.settle(findings)

        def found(given: Input, what: str) -> None:
            door, (name, data) = given
            findings.add(Finding(PART, door, what, {"name": name, "data": data.hex()}))

        explore.explore(inputs(), post, found, first_seed=seed, examples=examples, seconds=seconds)
        them.settle(findings)


def refuse_or_take(
    post: Callable[[str, str, bytes], httpx.Response], door: str, name: str, data: bytes
) -> None:
    """Post a file; raises `Broken` when the answer is neither a refusal with a code nor the file's row."""
    began = time.monotonic()
    try:
        answer = post(door, name, data)
    except httpx.HTTPError as error:
        raise Broken(f"no answer: {type(error).__name__}") from error
    if (took := time.monotonic() - began) > SLOW_SECONDS:
        raise Broken(f"an answer after {took:.0f} s")
    if answer.status_code >= 500:
        raise Broken(f"answered {answer.status_code}: {answer.text[:300]}")
    if answer.status_code >= 400:
        kind = answer.headers["content-type"]
        if kind != "application/problem+json" or not answer.json().get("code"):
            raise Broken(f"refused with {answer.status_code} as {kind}")
