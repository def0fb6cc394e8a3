"""Try a stack with bad input for as long as you like; see docs/security-testing.md.

    python -m tests.bad_input --minutes 30 --seed 7

The exit status is 1 when something was found; each finding is a file in `--out`.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
import django

django.setup()

from project.bench.stack import EmbeddedStack  # noqa: E402
from tests.bad_input import access, cast, frames, media, ports, rest, sockets  # noqa: E402
from tests.bad_input.findings import Findings  # noqa: E402
from tests.bad_input.target import Guard, Person, person  # noqa: E402

AVATAR = "lena"
READY_SECONDS = 300.0
STACK = {
    "BUILTIN_AVATARS": AVATAR,
    "EGRESS_ALLOWED_NETWORKS": "127.0.0.2/32",
    "ALLOWANCE_REQUESTS_A_MINUTE": "1000000",
    "ALLOWANCE_SESSION_MINUTES_A_DAY": "100000",
}


@dataclass(frozen=True)
class Run:
    """One run: the stack, who tries it, and how long each part may take."""

    stack: EmbeddedStack
    findings: Findings
    me: Person
    avatar: str
    seed: int
    seconds: int

    def rest(self) -> None:
        """Requests from the API's document: most of the time as a customer, then as staff and as nobody."""
        spare = frozenset({self.me.key_id, self.avatar, AVATAR})
        for key, share in ((self.me.key, 6), (self.stack.api_key, 3), (None, 1)):
            plan = rest.Plan(self.seed, rest.PHASES, examples=30, seconds=max(20, self.seconds * share // 10))
            rest.run(self.stack.base_url, self.findings, plan, key, spare)

    def sockets(self) -> None:
        """Conversations for most of the time; floods and broken frames once."""
        url, key = self.stack.base_url, self.me.key
        sockets.run(
            url, self.findings, key=key, avatar=self.avatar, seed=self.seed, seconds=self.seconds * 0.8
        )
        asyncio.run(sockets.floods(url, self.findings, key, self.avatar))
        asyncio.run(self._frames())

    async def _frames(self) -> None:
        async with sockets.Line(self.stack.base_url, self.me.key, self.avatar) as line:
            await frames.run(line, self.findings, seed=self.seed, examples=max(10, self.seconds // 30))

    def media(self) -> None:
        """Spoilt files wherever a file may be posted."""
        media.run(
            self.stack.base_url,
            self.findings,
            key=self.me.key,
            staff_key=self.stack.api_key,
            seed=self.seed,
            seconds=self.seconds,
        )

    def access(self) -> None:
        """Every address, as everyone who may not have it; not bounded by the time."""
        victim = cast.victim(self.stack, self.avatar, f"victim-{self.seed}@example.com")
        callers = cast.callers(self.stack, victim, thoroughly=True)
        access.run(self.stack.base_url, self.findings, callers, victim.names)

    def ports(self) -> None:
        """Garbage at every port, and at the media of a session."""
        more = max(3, self.seconds // 60)
        ports.garbage(self.stack, self.findings, seed=self.seed, examples=more)
        url, key = self.stack.base_url, self.me.key
        asyncio.run(
            ports.datagrams(url, key, self.avatar, self.findings, seed=self.seed, examples=200 * more)
        )


PARTS: dict[str, Callable[[Run], None]] = {
    "access": Run.access,
    "ports": Run.ports,
    "rest": Run.rest,
    "sockets": Run.sockets,
    "media": Run.media,
}
BOUNDED = ("rest", "sockets", "media")  # by the minutes that were asked for


def main() -> int:
    options = _options()
    findings = Findings(options.out)
    parts = options.parts.split(",")
    seconds = int(options.minutes * 60) // max(1, len([part for part in parts if part in BOUNDED]))
    with (
        tempfile.TemporaryDirectory(prefix="parley-bad-input-") as home,
        EmbeddedStack(Path(home) / "stack", render_workers=1, env=STACK) as stack,
    ):
        me = person(stack, "bad-input@example.com")
        run = Run(stack, findings, me, _avatar(stack), options.seed, seconds)
        for part in parts:
            began, guard = time.monotonic(), Guard(stack)
            PARTS[part](run)
            guard.check(findings, part)
            print(f"{part}: {time.monotonic() - began:.0f} s, {len(findings.all)} finding(s)", flush=True)
    print(findings.told())
    if findings.all:
        print(f"The smallest inputs that show them are in {options.out}; seed {options.seed}.")
    return 1 if findings.all else 0


def _avatar(stack: EmbeddedStack) -> str:
    """The id of the avatar, once it is prepared."""
    deadline = time.monotonic() + READY_SECONDS
    with stack.client as client:
        while True:
            row = client.get(f"/api/v1/avatars/{AVATAR}").json()
            if row.get("status") == "ready":
                return str(row["id"])
            assert time.monotonic() < deadline, f"{AVATAR} is not ready: {row}"
            time.sleep(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bad_input", description="Try a stack with bad input."
    )
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="for REST, sockets and media together (30)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same input (1)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("outputs/bad-input"), help="where findings are kept")
    options = parser.parse_args()
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
