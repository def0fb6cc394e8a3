import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tests.support import musetalk as small
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.musetalk import ears
from workers.adapters.avatar.musetalk.audio import FLOOR, Context
from workers.adapters.avatar.musetalk.building import built
from workers.adapters.avatar.musetalk.layout import V1, V15, Layout
from workers.adapters.errors import AdapterError

CONTEXT = Context(before=160, after=23)
POSITIONS = small.SMALL_WHISPER["max_source_positions"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def layout(whisper: Path, version: str = V15) -> Layout:
    other = whisper.parent
    return Layout(version, other, other, other, other, whisper, None)


def heard(rows: int = 3, columns: int = CONTEXT.columns) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.5, (rows, 80, columns)).astype(np.float32)


def gelu(x: np.ndarray) -> np.ndarray:
    erf = np.vectorize(math.erf)
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def reference(state: dict[str, torch.Tensor], spectrogram: np.ndarray) -> list[np.ndarray]:
    """Whisper's encoder in 64 bits: the embedding, each block's output, and the last one normed."""
    weights = {
        name.removeprefix("encoder."): value.double().numpy()
        for name, value in state.items()
        if name.startswith("encoder.")
    }

    def convolved(name: str, x: np.ndarray, stride: int) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (1, 1)))
        columns = [padded[:, place : place + 3] for place in range(0, x.shape[1], stride)]
        kernel = weights[f"{name}.weight"]
        made = [np.tensordot(kernel, column, axes=([1, 2], [0, 1])) for column in columns]
        return np.stack(made, axis=1) + weights[f"{name}.bias"][:, None]

    def normed(name: str, x: np.ndarray) -> np.ndarray:
        spread = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        return (x - x.mean(axis=1, keepdims=True)) / spread * weights[f"{name}.weight"] + weights[
            f"{name}.bias"
        ]

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)

    x = gelu(convolved("conv2", gelu(convolved("conv1", spectrogram, 1)), 2)).T
    states = [x + weights["embed_positions.weight"]]
    for block in range(4):
        at, x = f"layers.{block}", states[-1]
        inner = normed(f"{at}.self_attn_layer_norm", x)
        q, k, v = (linear(f"{at}.self_attn.{name}_proj", inner) for name in "qkv")
        scores = np.exp(q @ k.T / np.sqrt(small.SIZE))
        x = x + linear(f"{at}.self_attn.out_proj", scores / scores.sum(axis=1, keepdims=True) @ v)
        inner = gelu(linear(f"{at}.fc1", normed(f"{at}.final_layer_norm", x)))
        states.append(x + linear(f"{at}.fc2", inner))
    return [*states, normed("layer_norm", states[-1])]


def vectors(states: list[np.ndarray]) -> np.ndarray:
    first = CONTEXT.before // 2 - 4
    return np.concatenate([[state[token] for state in states] for token in range(first, first + 10)])


@pytest.mark.parametrize(
    ("version", "rows", "filling"), [(V1, [0, 1, 2, 3, 4], 0.0), (V15, [0, 1, 2, 3, 5], FLOOR)]
)
def test_the_layers_that_belong_to_the_version_in_64_bits(
    tmp_path: Path, version: str, rows: list[int], filling: float
) -> None:
    """V1.0: embedding and four blocks. V1.5: embedding, three blocks, and the fourth normed."""
    whisper = small.whisper()
    small.keep(whisper.state_dict(), tmp_path / "model", safe=True)
    columns = heard(1)
    full = np.pad(
        columns[0].astype(np.float64), ((0, 0), (0, 2 * POSITIONS - CONTEXT.columns)), constant_values=filling
    )
    states = reference(whisper.state_dict(), full)

    made = ears.load(layout(tmp_path / "model.safetensors", version), Alone(tmp_path), CONTEXT)(columns)

    assert made.shape == (1, 50, small.SIZE)
    np.testing.assert_allclose(made[0], vectors([states[row] for row in rows]), atol=2e-4)


def test_version_15_hears_transformers_own_hidden_states() -> None:
    encoder = small.whisper().encoder
    full = torch.from_numpy(heard(2, 2 * POSITIONS))

    ours = ears.Ears(encoder, V15, CONTEXT).layers(full)
    theirs = encoder(full, output_hidden_states=True).hidden_states

    assert len(ours) == len(theirs) == 5
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_both_files_of_whisper_make_the_same_ears(tmp_path: Path) -> None:
    small.write(tmp_path, openai=True)
    small.write(tmp_path, openai=False, safe=False)
    columns = heard()

    one, other = (
        ears.load(layout(tmp_path / "whisper" / name), Alone(tmp_path), CONTEXT)(columns)
        for name in ("tiny.pt", "pytorch_model.bin")
    )

    np.testing.assert_allclose(one, other, atol=2e-2)  # tiny.pt is in 16 bits
    assert np.abs(one).mean() > 0.2


def test_each_row_is_heard_by_itself(tmp_path: Path) -> None:
    small.keep(small.whisper().state_dict(), tmp_path / "model", safe=True)
    hear = ears.load(layout(tmp_path / "model.safetensors"), Alone(tmp_path), CONTEXT)
    columns = heard(4)

    np.testing.assert_allclose(hear(columns)[2:3], hear(columns[2:3]), atol=1e-5)


def test_the_encoder_of_whisper_tiny_has_its_names_and_size() -> None:
    with torch.device("meta"):
        whole = WhisperModel(WhisperConfig(**small.WHISPER_TINY)).state_dict()
    published = {f"model.{name}": value for name, value in whole.items()}

    state = ears.encoder_state(published)
    sizes = ears.config(state)

    assert (sizes.d_model, sizes.encoder_layers, sizes.encoder_attention_heads) == (384, 4, 6)
    assert (sizes.encoder_ffn_dim, sizes.max_source_positions, sizes.num_mel_bins) == (1536, 1500, 80)
    assert len(state) == 4 + 1 + 4 * 15 + 2
    assert sum(value.numel() for value in state.values()) == 8_208_384
    with torch.device("meta"):
        WhisperEncoder(sizes).load_state_dict(state, strict=True, assign=True)


def test_the_names_of_openai_whisper_are_all_known() -> None:
    with torch.device("meta"):
        encoder = WhisperEncoder(WhisperConfig(**small.WHISPER_TINY)).state_dict()
    openai = {small.openai_name(f"encoder.{name}"): value for name, value in encoder.items()}
    assert {"encoder.positional_embedding", "encoder.ln_post.bias", "encoder.blocks.3.mlp.2.weight"} <= set(
        openai
    )
    assert "encoder.blocks.0.attn.key.bias" not in openai

    state = ears.encoder_state(openai | {"decoder.blocks.0.attn.query.weight": torch.zeros(1)})

    assert set(state) == set(encoder)


def test_another_whisper_is_refused(tmp_path: Path) -> None:
    base = small.whisper(encoder_layers=6).state_dict()
    small.keep(base, tmp_path / "model", safe=True)

    with pytest.raises(AdapterError, match="6 blocks") as refused:
        ears.load(layout(tmp_path / "model.safetensors"), Alone(tmp_path), CONTEXT)

    assert refused.value.code == "weights_unknown"


def test_a_name_that_lacks_is_told() -> None:
    state = ears.encoder_state(small.whisper().state_dict())
    del state["layers.2.fc1.bias"]

    with pytest.raises(AdapterError, match=r"missing layers\.2\.fc1\.bias, unexpected nothing") as refused:
        built(lambda: WhisperEncoder(ears.config(state)), state, "Whisper")

    assert refused.value.code == "weights_unknown"
    assert not refused.value.retryable


def test_what_is_no_whisper_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "tiny.pt")

    with pytest.raises(AdapterError) as refused:
        ears.load(layout(tmp_path / "tiny.pt"), Alone(tmp_path), CONTEXT)

    assert refused.value.code == "weights_unknown"
