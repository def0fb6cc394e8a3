"""A model of SenseVoice's shape that a test can make: it tells low from high tones.

It has the inputs, the output and the facts that sherpa-onnx wants of a SenseVoice model, and begins its
answers with the same four tags. A tone of 300 Hz is "low", one of 3 kHz "high", one of 1 kHz a full
stop; silence is nothing.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MELS, STACKED = 80, 7
TOKENS = (
    "<unk>", "<|en|>", "<|zh|>", "<|HAPPY|>", "<|Speech|>", "<|withitn|>", "<|woitn|>", "▁low", "▁high", ".",
)  # fmt: skip
LANGUAGES = {"auto": 0, "zh": 3, "en": 4, "yue": 7, "ja": 11, "ko": 12}
BLANK, LOW, HIGH, STOP = 0, TOKENS.index("▁low"), TOKENS.index("▁high"), TOKENS.index(".")
QUIET, LOUD = 8.0, 1.0
LOW_MELS, STOP_MELS, HIGH_MELS = slice(7, 13), slice(26, 32), slice(51, 58)


def make_model(folder: Path, *, leave_out: str = "") -> Path:
    """The folder with `model.onnx` and `tokens.txt`; `leave_out` is a fact that it lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_model(leave_out), folder / "model.onnx")
    lines = [f"{token} {number}" for number, token in enumerate(TOKENS)]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _model(leave_out: str) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", MELS * STACKED]),
        helper.make_tensor_value_info("x_length", TensorProto.INT32, ["N"]),
        helper.make_tensor_value_info("language", TensorProto.INT32, ["N"]),
        helper.make_tensor_value_info("text_norm", TensorProto.INT32, ["N"]),
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", "L", len(TOKENS)])
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["body"]),
        # What is asked for shows in the tags, so that a test can see that it was.
        helper.make_node("Gather", ["tags_by_language", "language"], ["language_tag"], axis=0),
        helper.make_node("Gather", ["tags_by_norm", "text_norm"], ["norm_tag"], axis=0),
        helper.make_node("Concat", ["language_tag", "feeling", "event", "norm_tag"], ["head_rows"], axis=0),
        helper.make_node("Unsqueeze", ["head_rows", "zero"], ["head"]),
        helper.make_node("Concat", ["head", "body"], ["logits"], axis=1),
    ]
    graph = helper.make_graph(nodes, "tones", inputs, [output], _weights())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for key, value in _facts().items():
        if key != leave_out:
            model.metadata_props.add(key=key, value=value)
    return model


def _weights() -> list[onnx.TensorProto]:
    weights = np.zeros((STACKED, MELS, len(TOKENS)), np.float32)
    for token, mels in ((LOW, LOW_MELS), (STOP, STOP_MELS), (HIGH, HIGH_MELS)):
        weights[:, mels, token] = LOUD / (STACKED * (mels.stop - mels.start))
    bias = np.full(len(TOKENS), -100.0, np.float32)
    bias[BLANK], bias[[LOW, STOP, HIGH]] = QUIET, 0.0
    by_language = np.zeros((16, len(TOKENS)), np.float32)
    by_language[:, TOKENS.index("<|en|>")] = 9.0
    by_language[LANGUAGES["zh"]] = _row("<|zh|>")
    by_norm = np.stack([_row("<|withitn|>") if n == 14 else _row("<|woitn|>") for n in range(16)])
    arrays = {
        "weights": weights.reshape(MELS * STACKED, len(TOKENS)),
        "bias": bias,
        "tags_by_language": by_language,
        "tags_by_norm": by_norm,
        "feeling": _row("<|HAPPY|>")[None],
        "event": _row("<|Speech|>")[None],
        "zero": np.array([0], np.int64),
    }
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def _row(token: str) -> np.ndarray:
    row = np.zeros(len(TOKENS), np.float32)
    row[TOKENS.index(token)] = 9.0
    return row


def _facts() -> dict[str, str]:
    zeros = ",".join(["0"] * (MELS * STACKED))
    ones = ",".join(["1"] * (MELS * STACKED))
    facts = {"vocab_size": len(TOKENS), "lfr_window_size": STACKED, "lfr_window_shift": 6}
    facts |= {"normalize_samples": 0, "with_itn": 14, "without_itn": 15}
    facts |= {f"lang_{name}": number for name, number in LANGUAGES.items()}
    return {name: str(fact) for name, fact in facts.items()} | {"neg_mean": zeros, "inv_stddev": ones}


def tones(*parts: tuple[float, float]) -> np.ndarray:
    """Sound at 16 kHz: (Hz, seconds) one after the other; 0 Hz is silence."""
    sound = []
    for hz, seconds in parts:
        times = np.arange(int(seconds * 16_000)) / 16_000
        sound.append(np.sin(2 * np.pi * hz * times) * 0.3 if hz else np.zeros(len(times)))
    return np.concatenate(sound).astype(np.float32)
