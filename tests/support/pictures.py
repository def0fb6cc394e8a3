"""Pictures for tests: made here, or the portraits that come with the product."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

BUILTIN = Path(__file__).resolve().parents[2] / "generation" / "avatars" / "builtin"


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def plain(width: int = 320, height: int = 400, kind: str = "PNG") -> bytes:
    """A smooth picture that shows nobody."""
    shades = np.linspace(40, 200, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    return encoded(Image.fromarray(shades), kind)


def portrait(slug: str = "lena") -> Image.Image:
    """A built-in avatar's face."""
    found = next(path for path in (BUILTIN / slug).iterdir() if path.stem == "portrait")
    return Image.open(found).convert("RGB").resize((512, 640))


def couple() -> bytes:
    """Two people side by side."""
    both = Image.new("RGB", (1024, 640))
    both.paste(portrait("lena"), (0, 0))
    both.paste(portrait("martin"), (512, 0))
    return encoded(both)
