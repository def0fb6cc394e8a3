# ruff: noqa: E501 - the page's lines are the page's
"""Judges lip sync on finished video, for every portrait and both kinds of voice.

    python -m docs.benchmarks.lipsync --write        # figures into docs/benchmarks/lipsync.md

dlib's landmarks are a second opinion where `dlib-bin` and its model are installed
(`--dlib FOLDER` says where shape_predictor_68_face_landmarks.dat lies).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from tests.quality.judge import ASTRONAUT, BUILTIN, judge, portrait, render
from tests.quality.landmarkers import dlib_68, mesh
from tests.quality.speech import FEMALE, MALE, speech

PAGE = Path(__file__).with_suffix(".md")
TUNED_ON = ("lena", ASTRONAUT)
HEAD = """# Lip sync

`python -m docs.benchmarks.lipsync --write` renders four sentences with pauses of 2.4 s, decodes the
finished H.264 and looks for the lips in every frame. `mesh` is the 468-point face mesh, run on the finished frames; `dlib`
is dlib's 68 points, which share nothing with the network behind the drawing. Openings are in face heights.
The renderer was tuned on two portraits, marked *; no figure below was tuned on the others. At rest the mouth
is the picture itself, so a judge that sees lips apart in the untouched portrait sees them apart in pauses: the mesh
reads 0.017 in priya's and 0.021 in nova's (a drawing) before anything was drawn on them.

| Portrait | Voice | Phones | Judge | Correlation | Lag | Plain RMS | Reversed | Speech | Pauses | mbp | u / i | Still |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""
NOTES = """
Correlation is of mouth opening with A-weighted loudness (IEC 61672, Stevens' power law), at the lag (in
frames) where it is highest; "plain RMS" is the same without weighting. "Reversed" is the control against the
sound played backwards. "mbp" is how many m, b and p show closed lips; "u / i" the mouth's widths.
"Still" is the lowest PSNR in dB to the portrait outside of what head, breath and mouth move.

To reach: correlation 0.85 at a lag of at most 1 frame; pauses at most 0.015 and a third of speech; reversed
below 0.4; 80% of m, b and p closed; u narrower than i; 38 dB.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge lip sync on finished video")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/lipsync.md")
    parser.add_argument("--dlib", type=Path, help="the folder of dlib's model")
    parser.add_argument("--portraits", nargs="*", help="some portraits only; all shipped ones otherwise")
    options = parser.parse_args()
    rows = []
    names = options.portraits or [
        ASTRONAUT,
        *sorted(path.parent.name for path in BUILTIN.glob("*/portrait.*")),
    ]
    for row in _rows(names, options.dlib):
        print(row, flush=True)
        rows.append(row)
    if options.write:
        PAGE.write_text(HEAD + "\n".join(rows) + "\n" + NOTES)


def _rows(names: list[str], dlib_folder: Path | None) -> Iterator[str]:
    for name in names:
        for voice, phones in ((FEMALE, True), (MALE, True), (FEMALE, False)):
            yield from _judged(name, voice, dlib_folder, with_phones=phones)


def _judged(name: str, voice: str, dlib_folder: Path | None, *, with_phones: bool) -> Iterator[str]:
    said = speech(voice)
    video = render(portrait(name), said, with_phones=with_phones)
    for label, look in (("mesh", mesh()), ("dlib", dlib_68(dlib_folder))):
        if look is None:
            continue
        found = judge(video, said, look)
        cells = (
            name + ("*" if name in TUNED_ON else ""),
            voice,
            "yes" if with_phones else "no",
            label,
            f"{found.correlation:.2f}",
            f"{found.lag:+d}",
            f"{found.with_energy:.2f}",
            f"{found.reversed:.2f}",
            f"{found.speaking:.3f}",
            f"{found.paused:.3f}",
            f"{found.closed:.0%}" if with_phones else "",
            f"{found.width_u:.3f} / {found.width_i:.3f}" if with_phones else "",
            f"{found.still_psnr:.1f}",
        )
        yield "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
