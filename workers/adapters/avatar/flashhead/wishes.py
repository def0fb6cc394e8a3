"""What a request to the FlashHead service asks for: checked, its files read from where it may name them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
import stat
import wave
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.adapters.avatar.base import SAMPLE_RATE, SAMPLES_PER_FRAME
from workers.adapters.avatar.flashhead.places import opened_linkless
from workers.adapters.avatar.flashhead.portrait import Person
from workers.adapters.avatar.remote.decoding import covering
from workers.adapters.text import parsed

MAX_PICTURE_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 40_000_000
MAX_SOUND_SECONDS = 120
MAX_SOUND_BYTES = MAX_SOUND_SECONDS * SAMPLE_RATE * 2 + 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")


class Refused(Exception):
    """A request that is not served; `code` is stable."""

    def __init__(self, status: int, code: str, detail: str, retry_after: int = 0) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after


@dataclass(frozen=True, slots=True)
class Wish:
    """One film: of whom, saying what, and whether it goes on from the last film of its session."""

    person: Person
    digest: str
    sound: NDArray[np.int16]
    session: str = ""
    continues: bool = False
    live: bool = False

    @property
    def frames(self) -> int:
        return len(self.sound) // SAMPLES_PER_FRAME


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads requests. Files are looked for below `shared` alone; pictures become `width` x `height`."""

    shared: Path | None
    width: int
    height: int

    def wish(self, body: bytes) -> Wish:
        """Raises `Refused`. Keys of `config` that nobody knows are no fault."""
        told = _object(body)
        if told.get("task", "audio2video") != "audio2video":
            raise _bad("task_unknown", "The task is audio2video.")
        inputs, config = told.get("inputs"), told.get("config", {})
        if not isinstance(inputs, dict) or not isinstance(config, dict):
            raise _bad("invalid_request", "inputs and config are objects.")
        session = config.get("session", "")
        if session and not (isinstance(session, str) and _NAME.fullmatch(session)):
            raise _bad("session_invalid", "session has at most 80 letters, digits, dots, dashes.")
        picture = self._file(inputs, "image", MAX_PICTURE_BYTES)
        return Wish(
            person=self._person(picture),
            digest=hashlib.sha256(picture).hexdigest(),
            sound=_sound(self._file(inputs, "audio", MAX_SOUND_BYTES)),
            session=session,
            continues=config.get("continues") is True,
            live=config.get("live") is True,
        )

    def _file(self, inputs: dict[str, Any], name: str, most: int) -> bytes:
        inside, path = inputs.get(f"{name}_b64"), inputs.get(name)
        if isinstance(inside, str) and inside:
            if len(inside) > most * 4 // 3 + 4:
                raise _large(name)
            try:
                return base64.b64decode(inside, validate=True)
            except (binascii.Error, ValueError) as error:
                raise _bad(f"{name}_unreadable", f"{name}_b64 is no base64.") from error
        if not isinstance(path, str) or not path:
            raise _bad(f"{name}_missing", f"inputs holds neither {name} nor {name}_b64.")
        return _read(self._inside(path, name), name, most)

    def _inside(self, path: str, name: str) -> Path:
        if self.shared is None:
            raise _bad("path_refused", f"This service shares no folder: send {name}_b64.")
        root = self.shared.resolve()
        try:
            found = (root / path).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise _bad("path_refused", f"{name} is no path.") from error
        if not found.is_relative_to(root):
            raise _bad("path_refused", f"{name} lies outside of the folder that is shared.")
        return found

    def _person(self, data: bytes) -> Person:
        try:
            with Image.open(io.BytesIO(data)) as header:
                pixels = header.width * header.height
            if pixels > MAX_PIXELS:
                raise Refused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "image_too_large", "The picture is too large."
                )
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except Image.DecompressionBombError as error:
            raise _large("image") from error
        except (OSError, ValueError, SyntaxError, cv2.error) as error:
            raise _bad("image_unreadable", "The picture cannot be read.") from error
        if picture is None:
            raise _bad("image_unreadable", "The picture cannot be read.")
        fitted = covering(np.asarray(picture, np.uint8), self.width, self.height)
        return Person(data, fitted, self.width, self.height, b"")


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = parsed(body)
    except ValueError as error:
        raise _bad("invalid_json", "The body is no JSON.") from error
    if not isinstance(told, dict):
        raise _bad("invalid_json", "The body is no JSON object.")
    return told


def _read(path: Path, name: str, most: int) -> bytes:
    """A file of the folder that others write too: it may grow, or become a link, while it is read."""
    try:
        opened = opened_linkless(path)
        with os.fdopen(opened, "rb") as file:
            whole = stat.S_ISREG(os.fstat(opened).st_mode)
            data = file.read(most + 1) if whole else b""
    except (FileNotFoundError, IsADirectoryError):
        whole = False
    except OSError as error:
        raise _bad(f"{name}_unreadable", f"{name} cannot be read.") from error
    if not whole:
        raise _bad(f"{name}_missing", f"There is no such file: {name}.")
    if len(data) > most:
        raise _large(name)
    return data


def _sound(data: bytes) -> NDArray[np.int16]:
    """Whole frames, the last one filled up with silence."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, SAMPLE_RATE):
                raise _bad("audio_unsupported", "The sound is mono, 16 bits, at 16000 Hz.")
            if file.getnframes() > MAX_SOUND_SECONDS * SAMPLE_RATE:
                raise _large("audio")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    except (wave.Error, EOFError, ValueError) as error:
        raise _bad("audio_unreadable", "The sound is no WAV file.") from error
    if not len(samples):
        raise _bad("audio_empty", "The sound is empty.")
    return np.pad(samples, (0, -len(samples) % SAMPLES_PER_FRAME)).astype(np.int16)


def _bad(code: str, detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, code, detail)


def _large(name: str) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{name}_too_large", f"{name} is too large.")
