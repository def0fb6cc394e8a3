"""Ports of one stack: remembered so that a restart keeps them, held so that nobody else takes them."""

import json
import secrets
import socket
from contextlib import suppress

from project.embedded.errors import StackError
from project.embedded.home import Home

# Below what Linux hands out to outgoing connections (32768 and up): such a connection could sit on
# the port of a part that is just being restarted.
FIRST, LAST = 20_000, 32_000
TRIES = 200


class Ports:
    """Each name has one port on one address, bound (not listening) for as long as the stack runs.

    On Linux a part may still listen on a port that is held this way, as both ask for SO_REUSEADDR.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.path / "ports.json"
        self._remembered: dict[str, int] = home.read_json(self._path)
        self._held: dict[str, socket.socket] = {}

    def get(self, name: str, host: str = "127.0.0.1") -> int:
        """The port of `name`: that of the last run where it is free, else a new one."""
        if name in self._held:
            return int(self._held[name].getsockname()[1])
        held = self._again(name, host) or _fresh(host)
        self._held[name] = held
        port = int(held.getsockname()[1])
        if self._remembered.get(name) != port:
            self._remembered[name] = port
            self._home.write(self._path, json.dumps(self._remembered, indent=2) + "\n")
        return port

    def claim(self, name: str, port: int, host: str, *, setting: str) -> int:
        """Hold the port that a person chose."""
        try:
            self._held[name] = _bind(host, port, reuse=True)
        except OSError as error:
            raise StackError(
                f"{setting}={port} cannot be used on {host}: {error.strerror}. "
                f"Choose another with {setting}=..., or {setting}=0 for any free one."
            ) from error
        return port

    def listen(self, name: str) -> socket.socket:
        """Turn a held port into a listening socket that a part inherits."""
        held = self._held[name]
        held.listen(1024)
        held.set_inheritable(True)
        return held

    def release(self) -> None:
        for held in self._held.values():
            held.close()
        self._held.clear()

    def _again(self, name: str, host: str) -> socket.socket | None:
        port = self._remembered.get(name)
        if not isinstance(port, int):
            return None
        with suppress(OSError):
            return _bind(host, port, reuse=True)
        return None


def _fresh(host: str) -> socket.socket:
    for _ in range(TRIES):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        with suppress(OSError):
            # Without reuse at first: this fails on a port that another stack holds without listening.
            _bind(host, port, reuse=False).close()
            return _bind(host, port, reuse=True)
    raise StackError(f"No free port between {FIRST} and {LAST} on {host}")


def _bind(host: str, port: int, *, reuse: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        if reuse:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
    except (OSError, OverflowError):
        held.close()
        raise
    return held
