"""Draws the illustrated avatar, an original vector picture, with Skia: python illustration.py --out FILE.png.

The picture is 1024 x 1280 with a transparent background. MOUTH_BOX is the region of the mouth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import skia

WIDTH, HEIGHT = 1024, 1280
MIDDLE = 512.0
ZOOM = 1.14
MOUTH_BOX = (0.4109, 0.6123, 0.5891, 0.656)

SKIN, SKIN_LIGHT, SKIN_SHADE, SKIN_LINE = 0xFFE9B493, 0xFFF6CDB0, 0xFFCF8D70, 0xFF9A5846
HAIR, HAIR_LIGHT, HAIR_DARK = 0xFF3B2A4A, 0xFF6A4C80, 0xFF261A33
LIP_UPPER, LIP_DEEP = 0xFFC4646A, 0xFFBE5C63
LIP_LOWER, LIP_LINE, LIP_SHINE = 0xFFCC6C70, 0xFF5A1F2C, 0x66FFE3DF
CLOTH, CLOTH_LIGHT, CLOTH_DARK = 0xFF1F7A78, 0xFF2E9A95, 0xFF145553
SHIRT, SHIRT_SHADE = 0xFFF5F1E8, 0xFFD9D2C4

Points = Sequence[tuple[float, ...]]


def fill(colour: int, *, blur: float = 0.0) -> skia.Paint:
    paint = skia.Paint(AntiAlias=True, Color=colour)
    if blur:
        paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
    return paint


def pen(colour: int, width: float) -> skia.Paint:
    return skia.Paint(
        AntiAlias=True,
        Color=colour,
        Style=skia.Paint.kStroke_Style,
        StrokeWidth=width,
        StrokeCap=skia.Paint.kRound_Cap,
        StrokeJoin=skia.Paint.kRound_Join,
    )


def shaded(top: tuple[float, float], bottom: tuple[float, float], *colours: int) -> skia.Paint:
    shader = skia.GradientShader.MakeLinear([skia.Point(*top), skia.Point(*bottom)], list(colours))
    return skia.Paint(AntiAlias=True, Shader=shader)


def spot(x: float, y: float, radius: float, inner: int, outer: int) -> skia.Paint:
    return skia.Paint(
        AntiAlias=True, Shader=skia.GradientShader.MakeRadial(skia.Point(x, y), radius, [inner, outer])
    )


def path(start: tuple[float, float], curves: Points, *, close: bool = True) -> skia.Path:
    """A path of cubic (6 numbers), quadratic (4) and straight (2) pieces."""
    result = skia.Path()
    result.moveTo(*start)
    for piece in curves:
        {6: result.cubicTo, 4: result.quadTo, 2: result.lineTo}[len(piece)](*piece)
    if close:
        result.close()
    return result


def mirrored(shape: skia.Path) -> skia.Path:
    matrix = skia.Matrix()
    matrix.setScale(-1, 1, MIDDLE, 0)
    result = skia.Path(shape)
    result.transform(matrix)
    return result


def both(canvas: skia.Canvas, shape: skia.Path, paint: skia.Paint) -> None:
    canvas.drawPath(shape, paint)
    canvas.drawPath(mirrored(shape), paint)


FACE = path(
    (512, 318),
    [
        (640, 318, 726, 402, 728, 540),
        (730, 640, 700, 716, 640, 782),
        (594, 832, 552, 856, 512, 856),
        (472, 856, 430, 832, 384, 782),
        (324, 716, 294, 640, 296, 540),
        (298, 402, 384, 318, 512, 318),
    ],
)


def back_hair(canvas: skia.Canvas) -> None:
    outline = path(
        (512, 196),
        [
            (668, 188, 774, 320, 774, 520),
            (776, 640, 840, 760, 838, 884),
            (834, 962, 782, 1006, 716, 996),
            (308, 996),
            (242, 1006, 190, 962, 186, 884),
            (184, 760, 248, 640, 250, 520),
            (250, 320, 356, 188, 512, 196),
        ],
    )
    canvas.drawPath(outline, shaded((512, 200), (512, 1000), HAIR, HAIR_DARK))
    strand = path((262, 640), [(240, 740, 224, 820, 240, 930)], close=False)
    both(canvas, strand, pen(0x55845FA0, 7))
    strand = path((290, 700), [(274, 780, 264, 850, 284, 950)], close=False)
    both(canvas, strand, pen(0x40845FA0, 5))


def body(canvas: skia.Canvas) -> None:
    neck = path(
        (412, 740), [(414, 880, 396, 944, 330, 980), (512, 1120, 694, 980), (628, 944, 610, 880, 612, 740)]
    )
    canvas.drawPath(neck, shaded((512, 780), (512, 1040), SKIN_SHADE, SKIN))
    canvas.save()
    canvas.clipPath(neck, True)
    canvas.drawPath(
        path((380, 790), [(450, 900, 574, 900, 644, 790), (644, 700), (380, 700)]), fill(0x888E4A3C, blur=16)
    )
    canvas.restore()
    shoulders = path(
        (330, 968),
        [
            (250, 1004, 130, 1022, 74, 1096),
            (40, 1144, 34, 1230, 34, 1300),
            (990, 1300),
            (990, 1230, 984, 1144, 950, 1096),
            (894, 1022, 774, 1004, 694, 968),
            (640, 1050, 384, 1050, 330, 968),
        ],
    )
    canvas.drawPath(shoulders, shaded((200, 980), (800, 1300), CLOTH_LIGHT, CLOTH))
    inset = path((372, 966), [(512, 1010, 652, 966), (512, 1300)])
    canvas.drawPath(inset, shaded((512, 980), (512, 1280), SKIN, SKIN_SHADE))
    canvas.drawPath(
        path((388, 1010), [(440, 1096, 512, 1180), (584, 1096, 636, 1010), (700, 1300), (324, 1300)]),
        shaded((512, 1040), (512, 1280), SHIRT, SHIRT_SHADE),
    )
    collar = path(
        (352, 952), [(380, 1030, 432, 1108, 486, 1168), (420, 1206), (352, 1150, 306, 1060, 306, 976)]
    )
    both(canvas, collar, fill(0x33000000, blur=9))
    both(canvas, collar, shaded((330, 960), (440, 1200), CLOTH_LIGHT, CLOTH))
    both(canvas, path((306, 976), [(306, 1060, 352, 1150, 420, 1206)], close=False), pen(CLOTH_DARK, 4))
    both(canvas, path((190, 1140), [(178, 1200, 176, 1240, 178, 1290)], close=False), pen(CLOTH_DARK, 5))


def head(canvas: skia.Canvas) -> None:
    ear = path((304, 548), [(268, 520, 252, 556, 262, 606), (270, 650, 292, 676, 316, 664)])
    both(canvas, ear, fill(SKIN_SHADE))
    both(canvas, path((300, 574), [(278, 560, 272, 600, 292, 632)], close=False), pen(0x889A5846, 4))
    both(canvas, path((279, 668), [(279, 668, 279, 668, 279, 668)], close=False), pen(0xFFE8C15A, 15))
    canvas.drawPath(FACE, shaded((400, 320), (640, 860), SKIN_LIGHT, SKIN))
    canvas.save()
    canvas.clipPath(FACE, True)
    canvas.drawPath(
        path((728, 380), [(660, 520, 690, 720, 560, 860), (760, 860), (780, 380)]), fill(0x38B4664C, blur=34)
    )
    canvas.drawPath(
        path((290, 330), [(512, 250, 734, 330), (734, 430), (640, 352, 384, 352, 290, 430)]),
        fill(0x60934F41, blur=20),
    )
    for x in (380, 644):
        canvas.drawCircle(x, 664, 84, spot(x, 664, 84, 0x66E0685C, 0x00E0685C))
    canvas.restore()


def eyes(canvas: skia.Canvas) -> None:
    for side in (-1, 1):
        canvas.save()
        if side > 0:
            canvas.translate(2 * MIDDLE, 0)
            canvas.scale(-1, 1)
        _eye(canvas, 410.0, 566.0)
        brow = path((330, 490), [(366, 454, 420, 452, 466, 474), (468, 490), (420, 474, 372, 474, 330, 490)])
        canvas.drawPath(brow, fill(HAIR))
        canvas.restore()
    for x in (410.0, 614.0):
        canvas.drawCircle(x - 10, 556, 8.5, fill(0xFFFFFFFF))
        canvas.drawCircle(x + 11, 580, 4.5, fill(0xAAFFFFFF))


def _eye(canvas: skia.Canvas, x: float, y: float) -> None:
    """The eye at the picture's left."""
    shape = path(
        (x - 52, y + 8),
        [(x - 34, y - 30, x + 24, y - 38, x + 50, y + 10), (x + 26, y + 34, x - 28, y + 36, x - 52, y + 8)],
    )
    canvas.drawOval(skia.Rect.MakeLTRB(x - 66, y - 44, x + 60, y + 26), fill(0x30965046, blur=12))
    canvas.drawPath(shape, shaded((x, y - 34), (x, y + 34), 0xFFDCD6DA, 0xFFFFFFFF))
    canvas.save()
    canvas.clipPath(shape, True)
    canvas.drawCircle(x, y, 31, fill(0xFF24483C))
    canvas.drawCircle(x, y, 28, shaded((x, y - 28), (x, y + 28), 0xFF35604C, 0xFF8EC197))
    canvas.drawCircle(x, y, 13.5, fill(0xFF10181A))
    canvas.drawRect(skia.Rect.MakeLTRB(x - 60, y - 44, x + 60, y - 16), fill(0x44201020, blur=7))
    canvas.restore()
    lid = path(
        (x - 62, y + 6),
        [(x - 50, y - 36, x + 28, y - 46, x + 52, y + 12), (x + 26, y - 30, x - 32, y - 26, x - 52, y + 10)],
    )
    canvas.drawPath(lid, fill(HAIR_DARK))
    for dx, dy in ((-62, 2), (-57, -9)):
        canvas.drawPath(
            path((x + dx + 8, y + dy + 4), [(x + dx - 4, y + dy, x + dx - 14, y + dy - 12)], close=False),
            pen(HAIR_DARK, 4),
        )
    canvas.drawPath(
        path((x - 50, y - 28), [(x - 20, y - 58, x + 34, y - 48, x + 52, y - 14)], close=False),
        pen(0x779A5846, 4),
    )
    canvas.drawPath(path((x - 40, y + 26), [(x, y + 44, x + 38, y + 24)], close=False), pen(0x559A5846, 3))


def nose(canvas: skia.Canvas) -> None:
    canvas.drawPath(
        path(
            (500, 560), [(490, 610, 470, 644, 476, 660), (512, 690, 548, 660), (552, 640, 536, 610, 526, 560)]
        ),
        fill(0x26A85A44, blur=14),
    )
    canvas.drawOval(skia.Rect.MakeLTRB(498, 610, 524, 652), fill(0x77FFE6D4, blur=8))
    both(canvas, path((474, 662), [(464, 648, 476, 634, 486, 640)], close=False), pen(0x889A5846, 4))
    both(canvas, path((486, 666), [(496, 658, 504, 664)], close=False), pen(SKIN_LINE, 5.5))
    canvas.drawPath(path((500, 668), [(512, 676, 524, 668)], close=False), pen(0x779A5846, 4))


def mouth(canvas: skia.Canvas) -> None:
    line = [(470, 751, 490, 759, 512, 755), (534, 759, 554, 751, 592, 745)]
    back = [(554, 751, 534, 759, 512, 755), (490, 759, 470, 751, 432, 745)]
    bow = [(462, 743, 484, 730, 497, 730), (505, 730, 507, 735, 512, 735), (517, 735, 519, 730, 527, 730)]
    upper = path((432, 745), [*bow, (540, 730, 562, 743, 592, 745), *back])
    lower = path((432, 745), [*line, (570, 766, 540, 779, 512, 779), (484, 779, 454, 766, 432, 745)])
    canvas.drawOval(skia.Rect.MakeLTRB(470, 784, 554, 804), fill(0x3A9A5846, blur=7))
    canvas.drawPath(upper, shaded((512, 730), (512, 758), LIP_UPPER, LIP_DEEP))
    canvas.drawPath(lower, shaded((512, 750), (512, 780), LIP_DEEP, LIP_LOWER))
    canvas.drawOval(skia.Rect.MakeLTRB(486, 763, 540, 773), fill(LIP_SHINE, blur=4))
    canvas.drawPath(path((432, 745), line, close=False), pen(LIP_LINE, 4))


def front_hair(canvas: skia.Canvas) -> None:
    fringe = path(
        (440, 216),
        [
            (330, 236, 262, 340, 268, 520),
            (270, 590, 282, 640, 296, 690),
            (300, 600, 316, 520, 366, 450),
            (440, 400, 560, 380, 610, 330),
            (664, 380, 712, 440, 724, 560),
            (726, 610, 724, 650, 728, 690),
            (748, 640, 756, 580, 756, 520),
            (758, 330, 660, 196, 512, 196),
            (486, 196, 462, 206, 440, 216),
        ],
    )
    canvas.save()
    canvas.translate(0, 10)
    canvas.clipPath(FACE, True)
    canvas.drawPath(fringe, fill(0x55803A34, blur=14))
    canvas.restore()
    canvas.drawPath(fringe, shaded((420, 200), (520, 640), HAIR_LIGHT, HAIR))
    for start, curve in (
        ((590, 250), (500, 330, 390, 350, 330, 470)),
        ((560, 226), (450, 280, 340, 330, 300, 480)),
        ((500, 214), (400, 240, 310, 320, 288, 460)),
        ((608, 300), (540, 370, 430, 380, 352, 452)),
        ((622, 290), (690, 340, 730, 430, 738, 560)),
        ((600, 240), (700, 280, 748, 400, 748, 540)),
    ):
        canvas.drawPath(path(start, [curve], close=False), pen(0x4CA080BA, 6))
    canvas.drawPath(path((612, 214), [(606, 260, 604, 300, 610, 330)], close=False), pen(HAIR_DARK, 6))


def draw(canvas: skia.Canvas) -> None:
    # The pieces are drawn for a wider frame; the face should take about 40% of the height.
    canvas.translate(MIDDLE, 590)
    canvas.scale(ZOOM, ZOOM)
    canvas.translate(-MIDDLE, -560)
    for layer in (back_hair, body, head, nose, mouth, eyes, front_hair):
        layer(canvas)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    surface = skia.Surface(WIDTH, HEIGHT)
    draw(surface.getCanvas())
    surface.makeImageSnapshot().save(str(parser.parse_args().out), skia.kPNG)


if __name__ == "__main__":
    main()
