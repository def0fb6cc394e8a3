"""Public identifiers: a type prefix and a time-ordered UUID (version 7)."""

import secrets
import time


def new_id(prefix: str) -> str:
    """Return a fresh id such as `clip_01937b6c...`; ids made later sort later.

    The layout is RFC 9562's version 7: 48 bits of Unix milliseconds, then 74 random bits.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = (milliseconds & (2**48 - 1)) << 80
    value |= 0x7 << 76
    value |= (random >> 62) << 64
    value |= 0b10 << 62
    value |= random & (2**62 - 1)
    return f"{prefix}_{value:032x}"
