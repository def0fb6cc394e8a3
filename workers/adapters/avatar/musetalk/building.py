"""From weights to a network that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from workers.adapters.avatar.runtime import Host
from workers.adapters.errors import AdapterError

Part = TypeVar("Part", bound=nn.Module)
NAMED = 3


def built(make: Callable[[], Part], state: Mapping[str, Tensor], what: str) -> Part:
    """Make a network out of weights that must fit it name by name.

    Raises `AdapterError` (`weights_unknown`).
    """
    try:
        with torch.device("meta"):  # weights are taken from the file, not drawn first
            part = make()
        names, given = set(part.state_dict()), set(state)
        if names != given:
            raise unknown(what, f"missing {_some(names - given)}, unexpected {_some(given - names)}")
        part.load_state_dict(dict(state), strict=True, assign=True)
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise unknown(what, str(error).splitlines()[-1].strip()[:200]) from error
    return part.eval().requires_grad_(requires_grad=False)


def placed(part: Part, host: Host) -> Part:
    dtype = torch.float16 if host.half else torch.float32
    # diffusers' own `to` warns of layers that must stay in 32 bits, and has none.
    return nn.Module.to(part, device=host.device, dtype=dtype)


def unknown(what: str, why: str) -> AdapterError:
    return AdapterError(
        f"The weights of {what} are not what MuseTalk uses: {why}.",
        provider="musetalk",
        retryable=False,
        code="weights_unknown",
    )


def _some(names: set[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return (", ".join(ordered[:NAMED]) or "nothing") + more
