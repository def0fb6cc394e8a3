"""WAV headers."""

import struct

UNKNOWN = 0xFFFFFFFF


def header(sample_rate: int, data_bytes: int = UNKNOWN) -> bytes:
    """The 44 bytes before mono s16le samples; a stream does not know yet how many follow."""
    riff = UNKNOWN if data_bytes == UNKNOWN else 36 + data_bytes
    form = struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate * 2, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", riff)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + (b"data" + struct.pack("<I", data_bytes))
    )
