"""The cast: invented figures, each a set of target weights, colours, hair and clothes."""

from __future__ import annotations

from dataclasses import dataclass, field

from body import both, face, macro
from skin import Colour, Tone


@dataclass(frozen=True, slots=True)
class Garment:
    kind: str  # crew, shirt or blazer
    colour: Colour
    trim: Colour | None = None
    offset: float = 0.07
    ease: int = 40
    neck: float = 5.62
    depth: float = 0.0
    open: float = 0.0
    width: float = 9.0
    rib: float = 0.085
    gap: float = 0.1
    notch: float = 0.5
    weave: float = 75.0
    folds: float = 0.5
    roughness: float = 0.85
    sheen: float = 0.25


@dataclass(frozen=True, slots=True)
class Person:
    slug: str
    targets: dict[str, float]
    tone: Tone
    iris: Colour
    iris_inner: Colour
    hair_colour: Colour
    hair_style: str
    clothes: tuple[Garment, ...]
    seed: int = 1
    iris_size: float = 1.0
    gaze: float = 1.2
    hair_count: int = 34000
    hair_radius: float = 0.0022
    hair_roughness: float = 0.32
    hair_length: float = 0.5
    hair_lift: float = 0.6
    hair_volume: float = 0.1
    hair_end: float = 6.0
    hairline_lift: float = 0.0
    recede: float = 0.0
    part: float = 0.25
    locks: int = 900
    wave: float = 0.0
    wave_length: float = 0.5
    sides: float = 1.0
    frame: float = 1.0
    tuck: float = 0.25
    brow: dict[str, float] = field(default_factory=lambda: {"height": 0.0, "thickness": 1.0, "arch": 1.0})
    brow_colour: Colour | None = None
    brow_count: int = 1300
    beard_length: float = 0.0
    beard_colour: Colour | None = None
    beard_count: int = 16000
    lashes: float = 1.0
    shoulders: float = 0.86
    light: float = 1.0
    light_side: float = 1.0
    rim: float = 0.7
    view_height: float = 3.9
    view_offset: float = -0.075


# A relaxed, friendly look with closed lips, shared by everybody.
CALM = {**face("mouthSmile", 0.34), **face("cheekSquint", 0.12), **face("eyeWide", 0.3)}
DEEP_BROWN, BROWN, GOLDEN = (0.16, 0.09, 0.05), (0.36, 0.23, 0.13), (0.45, 0.31, 0.15)

NAVY, CHARCOAL, CAMEL = (0.10, 0.13, 0.2), (0.13, 0.13, 0.14), (0.5, 0.37, 0.25)


# Ears that lie close, for hair that covers them.
FLAT_EARS = {**both("ears/{}-ear-wing-decr", 1.0), **both("ears/{}-ear-scale-decr", 0.7)}


def shirt(colour: Colour, **changes: float) -> Garment:
    return Garment(
        "shirt", colour, neck=5.8, depth=0.5, open=0.22, gap=0.2, weave=120.0, sheen=0.0, **changes
    )


def blazer(colour: Colour) -> Garment:
    return Garment(
        "blazer",
        colour,
        offset=0.15,
        ease=70,
        neck=5.75,
        depth=1.75,
        open=0.62,
        weave=230.0,
        folds=0.25,
        sheen=0.15,
    )


LENA = Person(
    slug="lena",
    targets={
        **macro("female", 0.08, {"caucasian": 1.0}, weight=0.42),
        **CALM,
        **FLAT_EARS,
        **both("eyes/{}-eye-scale-incr", 0.3),
        "mouth/mouth-upperlip-volume-incr": 0.3,
        "mouth/mouth-lowerlip-volume-incr": 0.25,
        "head/head-oval": 0.4,
        "nose/nose-scale-horiz-decr": 0.25,
    },
    tone=Tone(
        (0.86, 0.665, 0.56),
        (0.84, 0.42, 0.35),
        (0.72, 0.34, 0.33),
        (0.66, 0.42, 0.36),
        freckles=0.14,
        scalp=(0.36, 0.24, 0.16),
        scalp_amount=0.5,
    ),
    iris=(0.33, 0.42, 0.47),
    iris_inner=(0.46, 0.42, 0.3),
    hair_colour=(0.3, 0.18, 0.11),
    hair_style="loose",
    hair_end=5.35,
    part=0.22,
    wave=0.03,
    wave_length=1.1,
    clothes=(Garment("crew", (0.16, 0.27, 0.36)),),
    brow={"height": 0.0, "thickness": 0.8, "arch": 1.0},
    lashes=1.1,
    seed=11,
)

MARTIN = Person(
    slug="martin",
    targets={
        **macro("male", 0.22, {"caucasian": 1.0}, muscle=0.6, weight=0.45),
        **CALM,
        **both("eyes/{}-eye-scale-incr", 0.25),
        "nose/nose-scale-horiz-decr": 0.2,
        "mouth/mouth-upperlip-volume-incr": 0.25,
        "head/head-rectangular": 0.3,
    },
    tone=Tone(
        (0.80, 0.60, 0.50),
        (0.76, 0.40, 0.33),
        (0.64, 0.35, 0.32),
        (0.58, 0.38, 0.33),
        scalp=(0.25, 0.2, 0.17),
        scalp_amount=0.6,
        stubble=0.2,
        lip_amount=0.85,
    ),
    iris=(0.30, 0.38, 0.30),
    iris_inner=(0.45, 0.34, 0.18),
    hair_colour=(0.13, 0.085, 0.06),
    hair_style="crop",
    hair_length=0.62,
    part=0.3,
    hair_volume=0.08,
    clothes=(shirt((0.82, 0.87, 0.93)), blazer(NAVY)),
    brow={"height": -0.03, "thickness": 0.85, "arch": 0.75},
    beard_length=0.007,
    lashes=0.8,
    shoulders=0.92,
    seed=21,
)

AMARA = Person(
    slug="amara",
    targets={
        **macro("female", 0.12, {"african": 1.0}, weight=0.45),
        **CALM,
        **both("eyes/{}-eye-scale-incr", 0.25),
        "head/head-oval": 0.5,
        "nose/nose-scale-horiz-decr": 0.3,
        "mouth/mouth-scale-horiz-decr": 0.15,
    },
    tone=Tone(
        (0.43, 0.285, 0.215),
        (0.48, 0.22, 0.17),
        (0.45, 0.19, 0.19),
        (0.27, 0.15, 0.11),
        flush_amount=0.35,
        scalp=(0.07, 0.05, 0.045),
        scalp_amount=0.85,
        lip_amount=0.75,
        roughness=0.45,
    ),
    iris=DEEP_BROWN,
    iris_inner=(0.26, 0.14, 0.07),
    hair_colour=(0.045, 0.032, 0.027),
    hair_style="curls",
    hair_length=0.46,
    hair_count=26000,
    hair_radius=0.0026,
    wave=0.045,
    wave_length=0.15,
    locks=2200,
    clothes=(Garment("crew", (0.72, 0.33, 0.17), neck=5.55, rib=0.07),),
    brow={"height": 0.01, "thickness": 0.9, "arch": 1.1},
    lashes=1.15,
    light=1.25,
    view_height=4.0,
    view_offset=-0.045,
    seed=31,
)

KENJI = Person(
    slug="kenji",
    targets={
        **macro("male", 0.12, {"asian": 1.0}, muscle=0.5, weight=0.42),
        **CALM,
        **both("eyes/{}-eye-scale-incr", 0.3),
        "mouth/mouth-lowerlip-volume-incr": 0.15,
        "head/head-oval": 0.3,
    },
    tone=Tone(
        (0.79, 0.605, 0.49),
        (0.76, 0.40, 0.32),
        (0.70, 0.43, 0.38),
        (0.60, 0.42, 0.32),
        flush_amount=0.4,
        scalp=(0.12, 0.1, 0.09),
        scalp_amount=0.7,
        stubble=0.06,
        lip_amount=0.9,
    ),
    iris=DEEP_BROWN,
    iris_inner=(0.28, 0.16, 0.08),
    hair_colour=(0.035, 0.028, 0.026),
    hair_style="crop",
    hair_length=0.8,
    hair_volume=0.14,
    part=-0.3,
    clothes=(Garment("crew", (0.86, 0.86, 0.85), neck=5.62, rib=0.06, offset=0.06), blazer(CHARCOAL)),
    brow={"height": -0.01, "thickness": 0.85, "arch": 0.7},
    lashes=0.7,
    light=0.92,
    shoulders=0.88,
    seed=41,
)

SOFIA = Person(
    slug="sofia",
    targets={
        **macro("female", 0.5, {"caucasian": 0.8, "african": 0.2}, weight=0.5),
        **CALM,
        **FLAT_EARS,
        **both("eyes/{}-eye-scale-incr", 0.25),
        "mouth/mouth-upperlip-volume-incr": 0.3,
        "head/head-round": 0.2,
    },
    tone=Tone(
        (0.76, 0.55, 0.43),
        (0.74, 0.37, 0.29),
        (0.62, 0.25, 0.25),
        (0.52, 0.33, 0.26),
        scalp=(0.2, 0.15, 0.12),
        scalp_amount=0.75,
        lines=0.5,
    ),
    iris=BROWN,
    iris_inner=GOLDEN,
    hair_colour=(0.10, 0.065, 0.048),
    hair_style="loose",
    hair_end=6.1,
    hair_volume=0.14,
    part=-0.2,
    tuck=0.45,
    frame=0.95,
    wave=0.02,
    wave_length=0.8,
    clothes=(
        Garment("crew", (0.87, 0.85, 0.81), neck=5.45, rib=0.045, offset=0.06),
        blazer((0.33, 0.12, 0.17)),
    ),
    brow={"height": 0.0, "thickness": 0.85, "arch": 1.1},
    seed=51,
)

ARTHUR = Person(
    slug="arthur",
    targets={
        **macro("male", 0.6, {"caucasian": 1.0}, muscle=0.45, weight=0.5),
        **CALM,
        **both("eyes/{}-eye-scale-incr", 0.3),
        **face("eyeWide", 0.5),
        **both("eyes/{}-eye-bag-incr", 0.4),
        "mouth/mouth-upperlip-volume-incr": 0.35,
        "mouth/mouth-lowerlip-volume-incr": 0.3,
    },
    tone=Tone(
        (0.81, 0.61, 0.52),
        (0.78, 0.42, 0.36),
        (0.66, 0.36, 0.34),
        (0.60, 0.38, 0.34),
        flush_amount=0.5,
        scalp=(0.55, 0.45, 0.41),
        scalp_amount=0.3,
        lip_amount=0.9,
        lines=0.9,
    ),
    iris=(0.34, 0.42, 0.46),
    iris_inner=(0.42, 0.42, 0.36),
    hair_colour=(0.40, 0.39, 0.38),
    hair_style="crop",
    hair_length=0.45,
    hair_lift=0.4,
    part=0.3,
    recede=0.12,
    clothes=(
        shirt((0.88, 0.88, 0.86)),
        Garment("crew", (0.22, 0.29, 0.25), neck=5.55, depth=0.75, open=0.5, offset=0.15, ease=70, rib=0.07),
    ),
    brow={"height": -0.02, "thickness": 1.15, "arch": 0.7},
    brow_colour=(0.42, 0.4, 0.38),
    beard_length=0.05,
    beard_colour=(0.42, 0.40, 0.38),
    beard_count=26000,
    lashes=0.6,
    shoulders=0.9,
    seed=61,
)

PRIYA = Person(
    slug="priya",
    targets={
        **macro("female", 0.15, {"caucasian": 0.6, "asian": 0.2, "african": 0.2}, weight=0.42),
        **CALM,
        **FLAT_EARS,
        **both("eyes/{}-eye-scale-incr", 0.35),
        "head/head-oval": 0.5,
        "mouth/mouth-lowerlip-volume-incr": 0.2,
    },
    tone=Tone(
        (0.62, 0.43, 0.31),
        (0.62, 0.29, 0.21),
        (0.56, 0.25, 0.23),
        (0.38, 0.24, 0.18),
        flush_amount=0.35,
        scalp=(0.1, 0.07, 0.06),
        scalp_amount=0.7,
    ),
    iris=(0.2, 0.11, 0.06),
    iris_inner=(0.3, 0.18, 0.09),
    hair_colour=(0.04, 0.028, 0.024),
    hair_style="loose",
    hair_end=5.15,
    part=0.0,
    wave=0.075,
    wave_length=0.75,
    locks=600,
    clothes=(shirt((0.80, 0.86, 0.84)),),
    brow={"height": 0.0, "thickness": 0.95, "arch": 1.0},
    lashes=1.2,
    light=1.1,
    seed=71,
)

MALIK = Person(
    slug="malik",
    targets={
        **macro("male", 0.2, {"african": 0.85, "caucasian": 0.15}, muscle=0.6, weight=0.45),
        **CALM,
        **both("eyes/{}-eye-scale-incr", 0.2),
        "nose/nose-scale-horiz-decr": 0.2,
    },
    tone=Tone(
        (0.37, 0.245, 0.185),
        (0.42, 0.18, 0.13),
        (0.40, 0.20, 0.18),
        (0.23, 0.13, 0.1),
        flush_amount=0.3,
        scalp=(0.05, 0.04, 0.035),
        scalp_amount=0.92,
        lip_amount=0.65,
        stubble=0.25,
        roughness=0.45,
    ),
    iris=DEEP_BROWN,
    iris_inner=(0.22, 0.12, 0.06),
    hair_colour=(0.035, 0.027, 0.024),
    hair_style="curls",
    hair_length=0.16,
    hair_count=42000,
    hair_radius=0.0022,
    wave=0.025,
    wave_length=0.1,
    locks=6000,
    sides=0.55,
    clothes=(Garment("crew", (0.42, 0.45, 0.48), neck=5.6, rib=0.08),),
    brow={"height": -0.02, "thickness": 0.85, "arch": 0.75},
    beard_length=0.03,
    lashes=0.8,
    light=1.3,
    shoulders=0.9,
    seed=81,
)

# Two more, for tests: never offered as avatars, so that nothing is tuned on them.
MEI = Person(
    slug="mei",
    targets={
        **macro("female", 0.3, {"asian": 0.8, "caucasian": 0.2}, weight=0.5),
        **CALM,
        **FLAT_EARS,
        **both("eyes/{}-eye-scale-incr", 0.25),
        "head/head-round": 0.3,
    },
    tone=Tone(
        (0.81, 0.62, 0.51),
        (0.80, 0.42, 0.35),
        (0.70, 0.30, 0.32),
        (0.60, 0.42, 0.34),
        scalp=(0.1, 0.08, 0.07),
        scalp_amount=0.7,
        lip_amount=0.85,
    ),
    iris=DEEP_BROWN,
    iris_inner=(0.26, 0.15, 0.08),
    hair_colour=(0.05, 0.036, 0.03),
    hair_style="loose",
    hair_end=5.6,
    hair_volume=0.14,
    part=0.2,
    tuck=0.3,
    frame=0.95,
    clothes=(Garment("crew", (0.45, 0.2, 0.28)),),
    brow={"height": 0.0, "thickness": 0.8, "arch": 0.8},
    seed=91,
)

DIEGO = Person(
    slug="diego",
    targets={
        **macro("male", 0.4, {"caucasian": 0.7, "african": 0.15, "asian": 0.15}, muscle=0.5, weight=0.6),
        **CALM,
        **both("eyes/{}-eye-scale-incr", 0.25),
        "nose/nose-hump-incr": 0.3,
    },
    tone=Tone(
        (0.69, 0.49, 0.37),
        (0.66, 0.33, 0.25),
        (0.58, 0.29, 0.27),
        (0.46, 0.3, 0.23),
        scalp=(0.1, 0.08, 0.07),
        scalp_amount=0.8,
        lip_amount=0.8,
        lines=0.4,
    ),
    iris=BROWN,
    iris_inner=GOLDEN,
    hair_colour=(0.06, 0.045, 0.038),
    hair_style="curls",
    hair_length=0.3,
    wave=0.03,
    wave_length=0.2,
    locks=3000,
    sides=0.5,
    clothes=(shirt((0.35, 0.45, 0.58)),),
    brow={"height": -0.02, "thickness": 1.0, "arch": 0.8},
    lashes=0.8,
    shoulders=0.92,
    seed=101,
)

PEOPLE = {
    person.slug: person for person in (LENA, MARTIN, AMARA, KENJI, SOFIA, ARTHUR, PRIYA, MALIK, MEI, DIEGO)
}
