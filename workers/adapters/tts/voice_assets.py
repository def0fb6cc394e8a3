"""A folder of voices that is shared with a speech service on the same storage.

    <folder>/voices/{system,clones}/<voice id>/{prompt.wav, prompt.txt, meta.json}

Who asks names a voice, never a path: a voice is found only where its folder stands in this one. `use`
tells which folder it is; a provider's file may name another.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MAX_PROMPT_CHARACTERS = 2000
KINDS = ("clones", "system")


_folders: dict[str, str] = {"here": "", "there": ""}


def use(folder: str, service_folder: str = "") -> None:
    """The folder of this installation, here and as services see it; "" for none. Called once, at start."""
    _folders.update(here=folder, there=service_folder)


def assets(folder: str = "", service_folder: str = "") -> "VoiceAssets | None":
    """The folder that a provider's file names, else the installation's; None where there is neither."""
    if folder:
        return VoiceAssets(Path(folder), service_folder)
    return VoiceAssets(Path(_folders["here"]), _folders["there"]) if _folders["here"] else None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model copies: a recording, as the service finds it, and its words where they are known."""

    audio: str
    text: str


class VoiceAssets:
    """`service_folder` is the folder as the service sees it; the same path where it is ""."""

    def __init__(self, folder: Path, service_folder: str = "") -> None:
        self._folder = folder
        self._service_folder = service_folder or str(folder)

    def prompt(self, voice: str) -> Prompt | None:
        """The prompt of a voice; None where the folder has no such voice."""
        for kind in KINDS:
            place = self._place(kind, voice)
            if place is not None and _inside(place / "prompt.wav", self._folder):
                return Prompt(f"{self._service_folder}/voices/{kind}/{voice}/prompt.wav", _text(place))
        return None

    @property
    def usable(self) -> bool:
        return self._folder.is_dir()

    def listed(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The voices that came with the services, each with what its `meta.json` says."""
        places = sorted((self._folder / "voices" / "system").glob("*/prompt.wav"))
        voices = [place.parent.name for place in places if _inside(place, self._folder)]
        return [
            (voice, _meta(self._folder / "voices" / "system" / voice))
            for voice in voices
            if VOICE_ID.fullmatch(voice)
        ]

    def add(self, voice: str, *, audio: bytes, text: str, meta: Mapping[str, Any]) -> None:
        """Put a cloned voice in place: whole or not at all, for services that look at any time."""
        place = self._place("clones", voice)
        if place is None:
            raise ValueError("no name of a voice")
        place.parent.mkdir(parents=True, exist_ok=True)
        building = place.parent / f".{voice}.new"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        (building / "prompt.wav").write_bytes(audio)
        (building / "prompt.txt").write_text(text[:MAX_PROMPT_CHARACTERS], encoding="utf-8")
        (building / "meta.json").write_text(json.dumps(dict(meta), ensure_ascii=False), encoding="utf-8")
        building.rename(place)

    def remove(self, voice: str) -> None:
        """Take a cloned voice away; one that is not there is no error. System voices stay."""
        place = self._place("clones", voice)
        if place is not None and place.is_dir() and _inside(place, self._folder):
            shutil.rmtree(place)

    def _place(self, kind: str, voice: str) -> Path | None:
        return self._folder / "voices" / kind / voice if VOICE_ID.fullmatch(voice) else None


def _inside(path: Path, folder: Path) -> bool:
    """Whether it exists, and no link leads out of the folder on the way."""
    return path.exists() and path.resolve().is_relative_to(folder.resolve())


def _text(place: Path) -> str:
    try:
        return (place / "prompt.txt").read_text(encoding="utf-8")[:MAX_PROMPT_CHARACTERS].strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _meta(place: Path) -> Mapping[str, Any]:
    try:
        content = json.loads((place / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
