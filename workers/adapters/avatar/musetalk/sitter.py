"""An avatar as MuseTalk has seen it: for each of its pictures the face's box, its latents and its mask.

Latents and masks are made when a picture is first spoken over, not when the avatar is prepared: they belong
to the weights, and preparation needs none. Prepared folders of other programs, which hold pickles, are
never read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import I420, Picture
from workers.adapters.avatar.musetalk import faces
from workers.adapters.avatar.musetalk.options import Options
from workers.adapters.avatar.plates.plates import Plates
from workers.adapters.avatar.runtime import Network

Latents = NDArray[np.float32]


class Sitter:
    """One loaded avatar, shared between the streams and threads of a process.

    Two threads may see the same picture at the same time for the first time; they find the same.
    """

    def __init__(self, plates: Plates, options: Options, sketcher: Network, parser: Network | None) -> None:
        self.plates = plates
        self._options = options
        self._sketcher, self._parser = sketcher, parser
        size = (plates.width, plates.height)
        shown = range(plates.count)
        self._boxes = faces.boxes(
            [plates.points(index) for index in shown],
            np.array([plates.box(index) for index in shown], np.float64),
            size,
            options,
        )
        self._latents: dict[int, Latents] = {}
        self._masks: dict[int, faces.Mask] = {}

    def latents(self, indexes: Sequence[int], *, live: bool) -> Latents:
        """What the UNet is given of these pictures, shape (n, 8, 32, 32)."""
        new = sorted(set(indexes) - self._latents.keys())
        if new:
            crops = np.stack([faces.crop(self.plates.picture(index), self._boxes[index]) for index in new])
            self._latents.update(zip(new, self._sketcher.run(crops, live=live), strict=True))
        return np.stack([self._latents[index] for index in indexes])

    def see(self, indexes: Sequence[int], *, live: bool) -> None:
        """Make the masks of these pictures."""
        new = sorted(set(indexes) - self._masks.keys())
        if not new:
            return
        if self._parser is None:
            masks = [self._outlined(index) for index in new]
        else:
            squares = [
                faces.square(self.plates.picture(index), self._boxes[index], self._options) for index in new
            ]
            parsed = self._parser.run(np.stack(squares), live=live)
            masks = [faces.of_parts(parts, self._options) for parts in parsed]
        for index, mask in zip(new, masks, strict=True):
            self._masks[index] = faces.softened(mask, self._boxes[index], self._options)

    def draw(self, plates: Plates, out: I420, index: int, face: Picture, share: float) -> None:
        """Lay a painted face over `out`, which shows the picture `index` of `plates`."""
        box = self._boxes[index]
        patch, area = faces.placed(face, box)
        mask, _ = faces.placed(self._masks[index], box)
        plates.paste(out, index, patch, area, mask.astype(np.float32) * np.float32(share / 255))

    def _outlined(self, index: int) -> faces.Mask:
        return faces.of_landmarks(self.plates.points(index), self._boxes[index], self._options)
