"""The models of this installation, read from `configs/models/*.yaml` and the settings.

A file tells one model: its facts, and for each backend it can run on (`local`, `omnirt`...) which
adapter with which options draws there. Settings choose the backend and say where remote ones are.

Fields of a file: `id`, `name`, `summary`, `licence` (of the weights), `backend` (the one where no
setting `<ID>_BACKEND` chooses), `profile` and `backends`, which holds under each backend's name

* `adapter`, `preparer`: names in `workers.adapters.registry`;
* `credentials`: the prefix of `<PREFIX>_URL` and `<PREFIX>_API_KEY`, where it is a server's;
* `options`: the adapter's own, each with its default; `settings` lists those that `<ID>_<OPTION>`
  may change (and `chunk_frames`, `live_slots`, `max_batch`, `memory_mb`, `width`, `height`), the
  value taken for what its default is; `requires` those that must not stay empty;
* `weights`: a list of `path` (below the folder of weights), `what`, `licence`, `source`, and where
  known `bytes` and `sha256`; `required: false` for what is used if it is there; of the sets of
  files that share a `layout`, one complete set is enough (`choice:set` where there are several
  choices, such as `vae:safetensors` and `vae:bin`);
* `needs`: packages by the names they are imported by;
* `max_batch`: how much a network is given at once;
* `profile`: what differs from the model's own `profile` on this backend.

A `profile` holds the fields of `base.Profile` without `id`, `backend` and the queues.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workers.adapters.avatar import fields
from workers.adapters.avatar.base import Profile
from workers.adapters.avatar.chosen import MAX_BATCH, NUMBERS, Chosen, WrongSettingError, choose
from workers.adapters.endpoint import Endpoint

BUILT_IN = Path(__file__).resolve().parents[3] / "configs" / "models"

_IMPORT_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LAYOUT = re.compile(r"[a-z0-9_.-]+(:[a-z0-9_.-]+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("id", "name", "summary", "licence", "backend", "profile", "backends")
_BACKEND_FIELDS = (
    *("adapter", "preparer", "credentials", "options", "settings", "requires"),
    *("weights", "needs", "max_batch", "profile"),
)
_WEIGHT_FIELDS = ("path", "what", "licence", "source", "bytes", "sha256", "required", "layout")
_MAX_FILE_BYTES = 1 << 40

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file that a model needs, and where it comes from. `bytes` and `sha256` are as published.

    One that is not `required` is used where it is there. Of the sets of files that share a `layout`,
    one complete set is enough; where there are several choices, a layout is `choice:set`.
    """

    path: str
    bytes: int | None
    sha256: str
    licence: str
    source: str
    what: str
    required: bool = True
    layout: str = ""

    @property
    def choice(self) -> str:
        """What this file's set is one of."""
        return self.layout.partition(":")[0] if ":" in self.layout else ""


@dataclass(frozen=True, slots=True, eq=False)
class ModelConfig:
    """A model on the backend that this installation chose for it.

    `missing` says what has to be set before it can be used ("" where nothing is). `licence` is that
    of the weights. `backends` are all that its file knows.
    """

    id: str
    name: str
    summary: str
    licence: str
    backend: str
    adapter: str
    preparer: str
    profile: Profile
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(""))
    options: Options = field(default_factory=lambda: MappingProxyType({}))
    weights: tuple[WeightFile, ...] = ()
    needs: tuple[str, ...] = ()
    memory_mb: int = 256
    max_batch: int = 1
    missing: str = ""
    backends: tuple[str, ...] = ()


def read_models(folders: Iterable[Path], settings: Mapping[str, str]) -> Mapping[str, ModelConfig]:
    """All models by id, sorted; `ValueError` names the file and field, or the setting, that is wrong."""
    found: dict[str, ModelConfig] = {}
    for file in (file for folder in folders for file in sorted(folder.glob("*.yaml"))):
        made = read_model(file, settings)
        if made.id in found:
            raise ValueError(f"{file}: id: there is a model {made.id} already")
        found[made.id] = made
    return MappingProxyType(dict(sorted(found.items())))


def read_model(file: Path, settings: Mapping[str, str]) -> ModelConfig:
    """One model's file; `ValueError` as of `read_models`."""
    try:
        return _model(fields.load(file), settings, file.stem)
    except WrongSettingError as exc:
        raise ValueError(str(exc)) from exc
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{file}: {exc}") from exc


def _model(content: Any, settings: Mapping[str, str], stem: str) -> ModelConfig:
    fields.known(content, _FIELDS, "")
    model = fields.matched(content, "id", fields.NAME)
    if model != stem:
        raise ValueError(f"id: {model} lies in a file of another name, {stem}.yaml")
    content = content | {"id": model}
    backends = fields.mapping(content.get("backends", {}), "backends")
    default = fields.matched(content, "backend", fields.NAME)
    if default not in backends:
        raise ValueError(f"backend: {default!r} is none of its backends")
    wanted = choose(model, default, backends, settings)
    # The others are read as well, without settings: one that is chosen later is no surprise then.
    made = {name: _backend(content, name, settings if name == wanted else {}) for name in backends}
    return made[wanted]


def _backend(content: Options, backend: Any, settings: Mapping[str, str]) -> ModelConfig:
    where = f"backends.{backend}"
    if not isinstance(backend, str) or not fields.NAME.fullmatch(backend):
        raise ValueError(f"{where}: small letters, digits and _ are needed")
    told = content["backends"][backend]
    fields.known(told, _BACKEND_FIELDS, where)
    chosen = Chosen(content["id"], told, settings, where)
    numbers = _profile(content.get("profile", {}), "profile")
    numbers |= _profile(told.get("profile", {}), f"{where}.profile")
    max_batch = fields.number(told.get("max_batch", 1), f"{where}.max_batch", *MAX_BATCH)
    numbers |= {"max_batch": max_batch} | chosen.numbers()
    max_batch = numbers.pop("max_batch")
    profile = _made_profile(content["id"], backend, numbers, where)
    return ModelConfig(
        id=content["id"],
        name=fields.text(content, "name"),
        summary=fields.text(content, "summary"),
        licence=fields.text(content, "licence"),
        backend=backend,
        adapter=fields.matched(told, "adapter", fields.NAME, where),
        preparer=fields.matched(told, "preparer", fields.NAME, where),
        profile=profile,
        endpoint=chosen.endpoint(),
        options=fields.frozen(chosen.options()),
        weights=_weights(told.get("weights", []), f"{where}.weights"),
        needs=tuple(fields.names(told, "needs", _IMPORT_NAME, where)),
        memory_mb=profile.memory_mb,
        max_batch=max_batch,
        missing=chosen.missing(),
        backends=tuple(content["backends"]),
    )


def _made_profile(model: str, backend: str, numbers: dict[str, Any], where: str) -> Profile:
    made = Profile(
        id=model,
        backend=backend,
        queue=f"batch.{model}",
        live_queue=f"live.{model}",
        **({"stateless": True} | numbers),
    )
    if (made.width is None) != (made.height is None):
        raise ValueError(f"{where}.profile: width and height belong together")
    if made.stateless:
        if made.chunk_frames != 1:
            raise ValueError(f"{where}.profile.chunk_frames: only stateful models draw in chunks")
        return made
    # A fragment holds whole chunks: what a chunk began, the next fragment cannot end.
    first, every = (
        -(-frames // made.chunk_frames) * made.chunk_frames
        for frames in (made.first_fragment_frames, made.fragment_frames)
    )
    return replace(made, first_fragment_frames=first, fragment_frames=every)


def _profile(told: Any, where: str) -> dict[str, Any]:
    fields.known(told, (*NUMBERS, "stateless"), where)
    made = {
        name: fields.number(value, f"{where}.{name}", *NUMBERS[name])
        for name, value in told.items()
        if name != "stateless"
    }
    if not isinstance(stateless := told.get("stateless", True), bool):
        raise TypeError(f"{where}.stateless: it is neither true nor false")
    if odd := [name for name in ("width", "height") if made.get(name, 0) % 2]:
        raise ValueError(f"{where}.{odd[0]}: it is odd")
    return made | ({"stateless": stateless} if "stateless" in told else {})


def _weights(told: Any, where: str) -> tuple[WeightFile, ...]:
    if not isinstance(told, list):
        raise TypeError(f"{where}: it is no list")
    made = tuple(_weight(entry, f"{where}[{place}]") for place, entry in enumerate(told))
    named = [(weight.path, weight.layout) for weight in made]
    if twice := next((path for path, layout in named if named.count((path, layout)) > 1), ""):
        raise ValueError(f"{where}: {twice} stands there twice")
    return made


def _weight(told: Any, where: str) -> WeightFile:
    fields.known(told, _WEIGHT_FIELDS, where)
    size, required = told.get("bytes"), told.get("required", True)
    if size is not None:
        fields.number(size, f"{where}.bytes", 1, _MAX_FILE_BYTES)
    if not isinstance(required, bool):
        raise TypeError(f"{where}.required: it is neither true nor false")
    return WeightFile(
        path=fields.relative(fields.text(told, "path", where), f"{where}.path"),
        bytes=size,
        sha256=fields.matched(told, "sha256", _SHA256, where, needed=False),
        licence=fields.text(told, "licence", where),
        source=fields.text(told, "source", where),
        what=fields.text(told, "what", where),
        required=required,
        layout=fields.matched(told, "layout", _LAYOUT, where, needed=False),
    )
