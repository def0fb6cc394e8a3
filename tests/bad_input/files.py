"""Small good files of every kind that is taken, some that are not, and ways to spoil them."""

import functools
import io
import struct
from collections.abc import Callable
from typing import cast

import av
import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.support import pdfs
from tests.support.media import encoded_sound, png_header, silent_video, voice, wav
from tests.support.pictures import encoded, plain, portrait

SPECIAL = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
)
# Where boxes, chunks and segments of these formats begin: a change behind one reaches a parser's heart.
MARKS = (
    *(
        b"IHDR",
        b"IDAT",
        b"PLTE",
        b"iCCP",
        b"tEXt",
        b"eXIf",
        b"acTL",
        b"RIFF",
        b"WAVE",
        b"fmt ",
        b"data",
        b"LIST",
    ),
    *(
        b"ftyp",
        b"moov",
        b"mvhd",
        b"trak",
        b"stsd",
        b"stts",
        b"stsz",
        b"stco",
        b"mdat",
        b"avcC",
        b"esds",
        b"elst",
    ),
    *(
        b"VP8 ",
        b"VP8L",
        b"VP8X",
        b"ANIM",
        b"OggS",
        b"OpusHead",
        b"fLaC",
        b"ID3",
        b"GIF8",
        b"\xff\xc0",
        b"\xff\xda",
    ),
    *(b"\xff\xdb", b"\xff\xe1", b"/Kids", b"/Length", b"/Filter", b"xref", b"stream", b"/Count", b"/Type"),
)


def _film(kind: str, codec: str) -> bytes:
    """A second of pictures that grow lighter, and a tone."""
    out = io.BytesIO()
    tone = av.open(io.BytesIO(encoded_sound(1.0, format="ogg", codec="libopus")), "r")
    with tone, av.open(out, "w", format=kind) as container:
        pictures = cast("av.VideoStream", container.add_stream(codec, rate=25))
        pictures.width, pictures.height, pictures.pix_fmt = 320, 320, "yuv420p"
        sound = container.add_stream_from_template(tone.streams.audio[0])
        for number in range(25):
            grey = av.VideoFrame.from_ndarray(np.full((480, 320), 100 + number, np.uint8), format="yuv420p")
            grey.pts = number
            container.mux(pictures.encode(grey))
        container.mux(pictures.encode(None))
        for packet in tone.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                container.mux(packet)
    return out.getvalue()


def _picture(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(plain(96, 128))).save(out, kind, **options)
    return out.getvalue()


def _moving(kind: str) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in (0, 120, 240)]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


def _wide_png() -> bytes:
    return png_header(2**31 - 1, 1) + bytes(100)


MAKERS: dict[str, Callable[[], bytes]] = {
    "a.wav": lambda: wav(voice(1.0)),
    "b.mp3": lambda: encoded_sound(1.0, format="mp3", codec="libmp3lame"),
    "c.ogg": lambda: encoded_sound(1.0, format="ogg", codec="libopus"),
    "d.flac": lambda: encoded_sound(1.0, format="flac", codec="flac"),
    "e.m4a": lambda: encoded_sound(1.0, format="ipod", codec="aac"),
    "f.mp4": lambda: _film("mp4", "libx264"),
    "g.webm": lambda: _film("webm", "libvpx"),
    "h.mov": silent_video,
    "i.png": lambda: _picture("PNG"),
    "j.jpg": lambda: _picture("JPEG"),
    "k.webp": lambda: _picture("WEBP"),
    "l.gif": lambda: _moving("GIF"),
    "m.webp": lambda: _moving("WEBP"),
    "n.tiff": lambda: _picture("TIFF"),
    "o.bmp": lambda: _picture("BMP"),
    "p.png": lambda: _moving("PNG"),
    "q.png": _wide_png,
    "r.pdf": lambda: pdfs.pdf(["How do I pay?\nWith a card.", "And then?\nYou get a mail."]),
    "s.pdf": pdfs.endless,
    "t.pdf": lambda: pdfs.locked(["Secret."]),
    "u.md": lambda: b"# Opening hours\n\nWe open at nine.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n" * 20,
    "v.txt": lambda: "Q: Wann öffnen Sie?\nA: Um neun.\n".encode("utf-16"),
    "w.svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "x.m3u8": lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "y.jpg": lambda: encoded(Image.new("CMYK", (300, 300)), "JPEG"),
    "face.png": lambda: encoded(portrait().resize((300, 300))),
    "face.jpg": lambda: encoded(portrait().resize((400, 400)), "JPEG"),
    "z.ttf": lambda: struct.pack(">IHHHH", 0x00010000, 0xFFFF, 1, 1, 1) + bytes(600),
}


@functools.cache
def good(name: str) -> bytes:
    """A small file; the name tells what it claims to be."""
    return MAKERS[name]()


def files(names: list[str] | None = None) -> st.SearchStrategy[tuple[str, bytes]]:
    """A name and what is in the file: one of the small ones, spoilt in up to eight ways."""
    known = sorted(names or MAKERS)
    kinds = st.sampled_from(sorted(CHANGES))
    change = st.tuples(kinds, st.integers(0, 2**40), st.integers(0, 2**40), st.sampled_from(known))
    spoilt = st.tuples(st.sampled_from(known), st.lists(change, max_size=8), st.sampled_from(known))
    return spoilt.map(
        lambda found: (found[2] if len(found[1]) % 4 == 3 else found[0], _spoil(found[0], found[1]))
    )


def _spoil(name: str, changes: list[tuple[str, int, int, str]]) -> bytes:
    data = bytearray(good(name))
    for kind, at, number, other in changes:
        if data:
            CHANGES[kind](data, at % len(data), number, other)
    return bytes(data)


Change = Callable[[bytearray, int, int, str], None]


def _flip(data: bytearray, at: int, number: int, other: str) -> None:
    data[at] ^= 1 << number % 8


def _set(data: bytearray, at: int, number: int, other: str) -> None:
    value = SPECIAL[number % len(SPECIAL)]
    data[at : at + len(value)] = value


def _mark(data: bytearray, at: int, number: int, other: str) -> None:
    """Change what stands just before or behind one of the marks in the file."""
    places = [found for mark in MARKS if (found := data.find(mark)) >= 0]
    if places:
        place = places[at % len(places)] - 4 + number % 24
        _set(data, min(max(place, 0), len(data) - 1), at, other)


def _cut(data: bytearray, at: int, number: int, other: str) -> None:
    del data[at:]


def _lose(data: bytearray, at: int, number: int, other: str) -> None:
    del data[at : at + 1 + number % 4_000]


def _repeat(data: bytearray, at: int, number: int, other: str) -> None:
    piece = data[at : at + 1 + number % 2_000]
    data[at:at] = piece * (1 + number % 40)


def _splice(data: bytearray, at: int, number: int, other: str) -> None:
    """The beginning of this file and the end of another."""
    tail = good(other)
    data[at:] = tail[number % (len(tail) + 1) :]


def _append(data: bytearray, at: int, number: int, other: str) -> None:
    """Two files in one."""
    data += good(other)


def _prepend(data: bytearray, at: int, number: int, other: str) -> None:
    data[0:0] = good(other)[: 1 + number % 64]


CHANGES: dict[str, Change] = {
    "flip": _flip,
    "set": _set,
    "mark": _mark,
    "mark again": _mark,
    "cut": _cut,
    "lose": _lose,
    "repeat": _repeat,
    "splice": _splice,
    "append": _append,
    "prepend": _prepend,
}
