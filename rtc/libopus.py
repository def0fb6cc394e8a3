"""libopus itself, which PyAV brings along: without frames, packets and rationals around each call."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from pathlib import Path
from typing import Any

import av


@functools.cache
def libopus() -> Any | None:
    """Return the library, or None where there is none."""
    bundled = sorted((Path(av.__file__).parent.parent / "av.libs").glob("libopus-*"))
    for name in (*map(str, bundled), ctypes.util.find_library("opus")):
        if name is None:
            continue
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        _declare_decoder(library)
        _declare_encoder(library)
        return library
    return None


def _declare_decoder(library: Any) -> None:
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_create.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
    library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_decode.argtypes = [
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int),
        *(ctypes.c_void_p, ctypes.c_int, ctypes.c_int),
    ]


def _declare_encoder(library: Any) -> None:
    library.opus_encoder_create.restype = ctypes.c_void_p
    library.opus_encoder_create.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
    library.opus_encoder_destroy.argtypes = [ctypes.c_void_p]
    # The value is variadic, which some machines pass in another way: it must not be declared.
    library.opus_encoder_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.opus_encode.argtypes = [
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int),
        *(ctypes.c_void_p, ctypes.c_int),
    ]
