"""Which sockets a process listens on, read from /proc."""

import socket
import struct
from contextlib import suppress
from pathlib import Path

LISTEN = "0A"


def listening(pid: int) -> set[tuple[str, int]]:
    """Every (address, port) on which this process takes TCP connections."""
    inodes = _inodes(pid)
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                found.add(_address(fields[1], family))
    return found


def unix_sockets(pid: int) -> set[Path]:
    """Every named Unix socket that this process has."""
    inodes = _inodes(pid)
    found = set()
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[6] in inodes and fields[7].startswith("/"):
            found.add(Path(fields[7]))
    return found


def _inodes(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(link.readlink())
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found


def _address(raw: str, family: int) -> tuple[str, int]:
    address, _, port = raw.partition(":")
    words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
    packed = b"".join(struct.pack("<I", word) for word in words)
    return socket.inet_ntop(family, packed), int(port, 16)
