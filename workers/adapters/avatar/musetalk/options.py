"""How MuseTalk is to draw: what the model's file and the settings say, with each version's own defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from workers.adapters.avatar.musetalk.layout import AUTO, V1, V15

Number = TypeVar("Number", int, float)
RAW, NECK, JAW = "raw", "neck", "jaw"
PARSING, LANDMARKS = "parsing", "landmarks"


@dataclass(frozen=True, slots=True)
class Options:
    """`version` is which weights are drawn with, `masks` how the face is told from what is around it.

    Pixels are those of the avatar's picture: `bbox_shift` moves the middle of the face's box down, which
    opens the mouth further (up: less), `extra_margin` lengthens the box below the chin. The face is laid
    over the picture in a square `expand` times as large as its box, below `upper_boundary` of the square's
    height, with edges softened over `blur` of its width.
    """

    version: str = AUTO
    masks: str = AUTO
    parsing_mode: str = RAW
    bbox_shift: int = 0
    extra_margin: int = 0
    expand: float = 1.2
    upper_boundary: float = 0.5
    blur: float = 0.1


DEFAULTS = {
    V1: Options(version=V1),
    V15: Options(version=V15, parsing_mode=JAW, extra_margin=10, expand=1.5),
}
CHOICES = {
    "version": (AUTO, V1, V15),
    "masks": (AUTO, PARSING, LANDMARKS),
    "parsing_mode": (AUTO, RAW, NECK, JAW),
}
LIMITS = {
    "bbox_shift": (-200, 200),
    "extra_margin": (0, 200),
    "expand": (1.0, 3.0),
    "upper_boundary": (0.0, 0.9),
    "blur": (0.0, 0.5),
}


def version(told: Mapping[str, Any]) -> str:
    """The version that is asked for, or `auto`. Raises `ValueError`."""
    return _choice(told, "version")


def read(told: Mapping[str, Any], drawn_with: str) -> Options:
    """Options for a version; what is left out or `auto` is the version's own. Raises `ValueError`."""
    default = DEFAULTS[drawn_with]
    if unknown := sorted(set(told) - set(CHOICES) - set(LIMITS)):
        raise ValueError(f"musetalk: {unknown[0]} is no option")
    mode = _choice(told, "parsing_mode")
    return Options(
        version=drawn_with,
        masks=_choice(told, "masks"),
        parsing_mode=default.parsing_mode if mode == AUTO else mode,
        bbox_shift=_number(told, "bbox_shift", default.bbox_shift, int),
        extra_margin=_number(told, "extra_margin", default.extra_margin, int),
        expand=_number(told, "expand", default.expand, float),
        upper_boundary=_number(told, "upper_boundary", default.upper_boundary, float),
        blur=_number(told, "blur", default.blur, float),
    )


def _choice(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name, AUTO)
    if value not in CHOICES[name]:
        raise ValueError(f"musetalk: {name} is {value!r}; use {' or '.join(CHOICES[name])}")
    return str(value)


def _number(told: Mapping[str, Any], name: str, default: Number, kind: Callable[[Any], Number]) -> Number:
    value = told.get(name, AUTO)
    if value == AUTO:
        return default
    lowest, highest = LIMITS[name]
    try:
        number = kind(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"musetalk: {name} is {value!r}, not a number") from error
    if not lowest <= number <= highest:
        raise ValueError(f"musetalk: {name} is {number}; {lowest} to {highest} is possible")
    return number
