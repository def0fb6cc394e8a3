"""Makes frozen objects of what stands in a file, strictly: whatever is unknown or of another kind is refused.

    @dataclass(frozen=True, slots=True)
    class Ramp:
        steps: tuple[int, ...]
        seconds: float = 60.0

    ramp = strict.read(Ramp, {"steps": [1, 10]}, "load.ramp")

A class checks its own values in `__post_init__` and raises `ValueError`.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
SCALARS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def read(kind: type[T], told: object, where: str = "") -> T:
    """An object of this dataclass, from a mapping of its fields.

    Raises `ValueError` that names the field which is missing, unknown, or of another kind.
    """
    if not isinstance(told, Mapping):
        raise ValueError(f"{where or 'the file'}: fields are needed")  # noqa: TRY004 - one error for all of it
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(cast("Any", kind))}
    if unknown := sorted(str(name) for name in told if name not in known):
        raise ValueError(f"{_named(where, unknown[0])}: nobody knows this field")
    given = {}
    for name, field in known.items():
        if name in told:
            given[name] = value(hints[name], told[name], _named(where, name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{_named(where, name)}: it is needed")
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error


def value(kind: Any, told: object, where: str) -> Any:
    """One value of a kind: a scalar, `X | None`, `Literal`, a tuple, a list, a dict by names, a dataclass."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return told
    if is_dataclass(kind):
        return read(cast("type[Any]", kind), told, where)
    if origin in (Union, types.UnionType):
        return _optional(inner, told, where)
    if origin in (tuple, list):
        return _several(origin, inner, told, where)
    if origin in (dict, Mapping):
        return _named_values(inner[1], told, where)
    return _literal(inner, told, where) if origin is Literal else _scalar(kind, told, where)


def _literal(allowed: tuple[Any, ...], told: object, where: str) -> Any:
    if told not in allowed:
        raise ValueError(f"{where}: {told!r} is none of {', '.join(map(str, allowed))}")
    return told


def _optional(kinds: tuple[Any, ...], told: object, where: str) -> Any:
    if told is None and type(None) in kinds:
        return None
    (kind,) = (one for one in kinds if one is not type(None))
    return value(kind, told, where)


def _several(origin: Any, kinds: tuple[Any, ...], told: object, where: str) -> Any:
    if not isinstance(told, list | tuple):
        raise ValueError(f"{where}: a list is needed")  # noqa: TRY004 - one error for all of it
    if origin is tuple and kinds[-1] is not Ellipsis:
        if len(told) != len(kinds):
            raise ValueError(f"{where}: {len(kinds)} values are needed")
        pairs = zip(kinds, told, strict=True)
    else:
        pairs = zip([kinds[0]] * len(told), told, strict=True)
    return origin(value(kind, one, f"{where}[{place}]") for place, (kind, one) in enumerate(pairs))


def _named_values(kind: Any, told: object, where: str) -> dict[str, Any]:
    if not isinstance(told, Mapping) or not all(isinstance(name, str) for name in told):
        raise ValueError(f"{where}: names with values are needed")
    return {name: value(kind, one, _named(where, name)) for name, one in told.items()}


def _scalar(kind: Any, told: object, where: str) -> Any:
    if kind is float and isinstance(told, int) and not isinstance(told, bool):
        return float(told)
    if type(told) is not kind:
        raise ValueError(f"{where}: {SCALARS.get(kind, kind.__name__)} is needed, not {told!r}")
    return told


def _named(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
