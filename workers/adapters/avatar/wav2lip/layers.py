"""The layers of the three Wav2Lip networks, as tables.

`Layer` is convolution, batch normalisation, the input added where `residual`, and ReLU. The tables
follow the public checkpoints: a parameter's name is its place in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Size = int | tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layer:
    """`transposed` ones enlarge; they have an output padding of 1 where their stride is 2."""

    inputs: int
    outputs: int
    kernel: int = 3
    stride: Size = 1
    padding: int = 1
    residual: bool = False
    transposed: bool = False


Stack = tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of network: faces of `size` pixels. `attentive` ones weigh what they decode by place."""

    name: str
    size: int
    encoder: tuple[Stack, ...]
    audio: Stack
    decoder: tuple[Stack, ...]
    output: Layer
    attentive: bool = False

    @property
    def bottom(self) -> int:
        """Channels where sound and face meet."""
        return self.audio[-1].outputs


def _kept(channels: int, times: int) -> Stack:
    return (Layer(channels, channels, residual=True),) * times


def _down(inputs: int, outputs: int, more: int, stride: Size = 2) -> Stack:
    return (Layer(inputs, outputs, stride=stride), *_kept(outputs, more))


def _up(inputs: int, outputs: int, more: int) -> Stack:
    return (Layer(inputs, outputs, stride=2, transposed=True), *_kept(outputs, more))


def _opened(inputs: int, outputs: int, kernel: int, more: int) -> Stack:
    """Enlarges by `kernel` - 1 pixels."""
    return (Layer(inputs, outputs, kernel=kernel, padding=0, transposed=True), *_kept(outputs, more))


def _point(inputs: int, outputs: int) -> Layer:
    return Layer(inputs, outputs, kernel=1, padding=0)


def _closed(inputs: int, outputs: int, kernel: int = 3) -> Layer:
    return Layer(inputs, outputs, kernel=kernel, padding=0)


def _halves(steps: Sequence[tuple[int, int, int]]) -> tuple[Stack, ...]:
    return tuple(_down(*step) for step in steps)


def _doubles(steps: Sequence[tuple[int, int]]) -> tuple[Stack, ...]:
    return tuple(_up(*step, 2) for step in steps)


_FACE = ((16, 32, 2), (32, 64, 3), (64, 128, 2), (128, 256, 2), (256, 512, 1))
_HEARD = (*_down(1, 32, 2, 1), *_down(32, 64, 2, (3, 1)), *_down(64, 128, 2, 3))
_AUDIO = (*_HEARD, *_down(128, 256, 1, (3, 2)), _closed(256, 512), _point(512, 512))
_OUTPUT = Layer(80, 32)

WAV2LIP_96 = Family(
    name="96",
    size=96,
    encoder=(
        (Layer(6, 16, kernel=7, padding=3),),
        *_halves(_FACE),
        (_closed(512, 512), _point(512, 512)),
    ),
    audio=_AUDIO,
    decoder=(
        (_point(512, 512),),
        _opened(1024, 512, 3, 1),
        *_doubles(((1024, 512), (768, 384), (512, 256), (320, 128), (160, 64))),
    ),
    output=_OUTPUT,
)
WAV2LIP_256 = Family(
    name="256",
    size=256,
    encoder=(
        (Layer(6, 16, kernel=7, padding=3),),
        *_halves((*_FACE, (512, 512, 1))),
        (_closed(512, 512, 4), _point(512, 512)),
    ),
    audio=_AUDIO,
    decoder=(
        (_point(512, 512),),
        _opened(1024, 512, 4, 1),
        _up(1024, 512, 1),
        *_doubles(((1024, 512), (768, 384), (512, 256), (320, 128), (160, 64))),
    ),
    output=_OUTPUT,
)
WAV2LIP_384 = Family(
    name="384",
    size=384,
    encoder=(
        (Layer(6, 16, kernel=7, padding=3), *_kept(16, 3)),
        *_halves([(channels, 2 * channels, 3) for channels in (16, 32, 64, 128, 256, 512)]),
        (_closed(1024, 1024), _point(1024, 1024), _point(1024, 1024)),
    ),
    audio=(
        *_HEARD,
        *_down(128, 256, 2, (3, 2)),
        *_down(256, 512, 2, 1),
        _closed(512, 1024),
        _point(1024, 1024),
    ),
    decoder=(
        (_point(1024, 1024),),
        _opened(2048, 1024, 3, 1),
        *_doubles(((2048, 1024), (1536, 768), (1024, 512), (640, 256), (320, 128), (160, 64))),
    ),
    output=_OUTPUT,
    attentive=True,
)
FAMILIES = (WAV2LIP_96, WAV2LIP_256, WAV2LIP_384)
