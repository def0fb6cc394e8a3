import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from tests.support import musetalk as small
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.musetalk import generator
from workers.adapters.avatar.musetalk.building import built
from workers.adapters.avatar.musetalk.layout import V15, Layout
from workers.adapters.errors import AdapterError

SCALE = 0.18215


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = small.write(tmp_path_factory.mktemp("weights"))
    home, see = folder / "musetalkV15", folder / "sd-vae"
    return Layout(
        V15,
        home / "unet.pth",
        home / "musetalk.json",
        see / "diffusion_pytorch_model.safetensors",
        see / "config.json",
        folder / "whisper" / "model.safetensors",
        None,
    )


def crops(count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 256, 256, 3), dtype=np.uint8)


def conditions(count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    latents = rng.standard_normal((count, 8, 32, 32)).astype(np.float32)
    return latents, rng.standard_normal((count, 50, small.SIZE)).astype(np.float32)


@torch.no_grad()
def sketched(pictures: np.ndarray) -> np.ndarray:
    """The table of the protocol, in 64 bits."""
    vae = small.vae().double()
    latents = []
    for picture in pictures:
        rgb = picture[:, :, ::-1].astype(np.float64) / 255
        masked = rgb.copy()
        masked[128:] = 0
        for one in (masked, rgb):
            tensor = torch.from_numpy(np.ascontiguousarray(((one - 0.5) / 0.5).transpose(2, 0, 1)))[None]
            moments = vae.quant_conv(vae.encoder(tensor))
            latents.append(moments[0, :4].numpy() * SCALE)
    return np.stack([np.concatenate(latents[place : place + 2]) for place in range(0, len(latents), 2)])


@torch.no_grad()
def painted(latents: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """The table of the protocol, in 64 bits; pictures as RGB from 0 to 255."""
    unet, vae = small.unet().double(), small.vae().double()
    places = np.array(
        [[encoding(row, column, heard.shape[2]) for column in range(heard.shape[2])] for row in range(50)]
    )
    told = torch.from_numpy(heard.astype(np.float64) + places)
    made = unet(torch.from_numpy(latents).double(), 0, encoder_hidden_states=told).sample
    decoded = vae.decoder(vae.post_quant_conv(made / SCALE))
    return (np.clip(decoded.numpy() / 2 + 0.5, 0, 1) * 255).transpose(0, 2, 3, 1)


def encoding(place: int, column: int, size: int) -> float:
    angle = place / 10_000 ** (2 * (column // 2) / size)
    return math.cos(angle) if column % 2 else math.sin(angle)


def test_positions_are_sines_and_cosines() -> None:
    made = generator.positions(50, 384)

    assert made.shape == (50, 384)
    expected = [[encoding(row, column, 384) for column in range(384)] for row in range(50)]
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-12)


def test_a_face_becomes_the_latents_of_its_masked_and_its_whole_crop(layout: Layout, tmp_path: Path) -> None:
    made = generator.load_sketcher(layout, Alone(tmp_path))(crops())

    assert made.shape == (2, 8, 32, 32)
    difference = np.abs(made - sketched(crops()))
    assert difference.max() < 5e-4  # where a black area is normed, next to nothing is divided by it
    assert difference.mean() < 2e-5 < made.std() / 1000


def test_the_same_crop_always_has_the_same_latents(layout: Layout, tmp_path: Path) -> None:
    sketch = generator.load_sketcher(layout, Alone(tmp_path))

    assert np.array_equal(sketch(crops()), sketch(crops()))


def test_what_lies_below_the_middle_shows_in_the_reference_alone(layout: Layout, tmp_path: Path) -> None:
    sketch = generator.load_sketcher(layout, Alone(tmp_path))
    other = crops()
    other[:, 128:] = 255 - other[:, 128:]

    one, changed = sketch(crops()), sketch(other)

    assert np.array_equal(one[:, :4], changed[:, :4])
    assert np.abs(one[:, 4:] - changed[:, 4:]).max() > 1e-3


def test_a_face_is_painted_in_one_step_at_time_0(layout: Layout, tmp_path: Path) -> None:
    made = generator.load_painter(layout, Alone(tmp_path))(*conditions())
    expected = painted(*conditions())

    assert made.shape == (2, 256, 256, 3)
    assert made.dtype == np.uint8
    assert np.abs(made[..., ::-1] - expected).max() <= 0.51
    assert expected.std() > 5


def test_faces_of_a_batch_are_painted_as_each_alone(layout: Layout, tmp_path: Path) -> None:
    paint = generator.load_painter(layout, Alone(tmp_path))
    latents, heard = conditions(3)

    together = paint(latents, heard).astype(int)
    alone = np.concatenate([paint(latents[row : row + 1], heard[row : row + 1]) for row in range(3)])

    assert np.abs(together - alone).max() <= 1


def test_16_bits_paint_nearly_the_same(layout: Layout, tmp_path: Path) -> None:
    paint = generator.load_painter(layout, Alone(tmp_path, half=True))

    made = paint(*conditions(1))

    difference = np.abs(made[..., ::-1] - painted(*conditions(1)))
    assert 0 < difference.mean() < 1.5


def test_the_unet_has_the_names_and_the_size_of_the_published_one() -> None:
    """Stable Diffusion 1.5's has 859,520,964; the keys and values of its 16 blocks are half as wide here,
    and four more channels come in."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(small.UNET)
    state = unet.state_dict()
    narrower = 2 * 384 * (5 * 320 + 5 * 640 + 6 * 1280)

    assert len(state) == 686
    assert (
        sum(value.numel() for value in state.values()) == 859_520_964 - narrower + 4 * 9 * 320 == 849_947_844
    )
    assert state["conv_in.weight"].shape == (320, 8, 3, 3)
    assert state["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"].shape == (1280, 384)
    with torch.device("meta"):
        latents, heard = torch.zeros(2, 8, 32, 32), torch.zeros(2, 50, 384)
        assert unet(latents, 0, encoder_hidden_states=heard).sample.shape == (2, 4, 32, 32)


def test_the_vae_has_the_names_and_the_size_of_the_published_one() -> None:
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(small.VAE)
    published = small.published_vae(vae.state_dict())
    assert "decoder.mid_block.attentions.0.proj_attn.weight" in published

    state = {generator.modern(name): value for name, value in published.items()}

    assert (len(state), sum(value.numel() for value in state.values())) == (248, 83_653_863)
    assert vae.config.scaling_factor == SCALE
    built(lambda: AutoencoderKL.from_config(small.VAE), state, "the VAE")


def test_a_unet_of_another_model_is_refused(layout: Layout, tmp_path: Path) -> None:
    other = tmp_path / "unet.pth"
    state = small.unet().state_dict()
    state["conv_in.weight"] = state["conv_in.weight"][:, :4]
    torch.save(state, other)

    with pytest.raises(AdapterError, match="conv_in") as refused:
        generator.load_painter(
            Layout(V15, other, layout.unet_config, layout.vae, layout.vae_config, layout.whisper, None),
            Alone(tmp_path),
        )

    assert refused.value.code == "weights_unknown"


@pytest.mark.parametrize("sizes", ["[]", "nonsense"])
def test_sizes_that_are_none_are_refused(tmp_path: Path, sizes: str) -> None:
    (tmp_path / "musetalk.json").write_text(sizes)

    with pytest.raises(AdapterError) as refused:
        generator.read_sizes(tmp_path / "musetalk.json")

    assert refused.value.code == "weights_unknown"


def test_a_vae_of_todays_names_is_taken_too(layout: Layout, tmp_path: Path) -> None:
    small.keep(small.vae().state_dict(), tmp_path / "diffusion_pytorch_model", safe=False)
    (tmp_path / "config.json").write_text(json.dumps(small.SMALL_VAE))
    other = Layout(
        V15,
        layout.unet,
        layout.unet_config,
        tmp_path / "diffusion_pytorch_model.bin",
        tmp_path / "config.json",
        layout.whisper,
        None,
    )

    one, same = (generator.load_sketcher(files, Alone(tmp_path))(crops(1)) for files in (layout, other))

    assert np.array_equal(one, same)


def test_a_file_that_would_run_something_is_refused(layout: Layout, tmp_path: Path) -> None:
    bad = tmp_path / "unet.pth"
    torch.save({"conv_in.weight": torch.zeros(1), "run": Path("/")}, bad)

    with pytest.raises(AdapterError) as refused:
        generator.load_painter(
            Layout(V15, bad, layout.unet_config, layout.vae, layout.vae_config, layout.whisper, None),
            Alone(tmp_path),
        )

    assert refused.value.code == "weights_unsafe"
