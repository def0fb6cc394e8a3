"""Sessions over ONNX models, with one of their inner results made visible."""

from collections.abc import Sequence
from typing import Any

import onnxruntime

_MODEL_GRAPH = 7  # field numbers of onnx.proto
_GRAPH_OUTPUT = 12
_VALUE_NAME = 1


def with_output(model: bytes, name: str) -> bytes:
    """The same model with the value `name` among its outputs.

    Protocol buffers merge messages that follow one another, so a model that holds nothing but the
    further output can be put behind the real one, and no library for ONNX files is needed.
    """
    return model + _field(_MODEL_GRAPH, _field(_GRAPH_OUTPUT, _field(_VALUE_NAME, name.encode())))


def session(model: bytes, *, threads: int) -> onnxruntime.InferenceSession:
    """A CPU session that uses that many threads and lets go of none while it waits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin while there is nothing to do would take the core from the renderers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(model: onnxruntime.InferenceSession, inputs: dict[str, Any]) -> Sequence[Any]:
    outputs: Sequence[Any] = model.run(None, inputs)
    return outputs


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
