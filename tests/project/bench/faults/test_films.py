"""A finished video is looked at as a whole, and compared with what its customer saw and heard."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from project.bench.babble import babble
from project.bench.faults.films import Card, Film, _decibels
from project.bench.faults.talk import Aloud, Stretch, Talk
from project.bench.media import Picture, Watcher
from project.bench.recorded import Recorded
from tests.project.bench.faults.seen import BEGAN, ORIGIN, film, sounds
from tests.project.bench.faults.seen import talk as spoken
from workers.adapters.avatar.mock import card

WIDTH, HEIGHT, FPS, RATE = 160, 192, 25, 48_000
SECONDS = 4


def levels() -> np.ndarray:
    """How open the mouth is in each frame: two bursts."""
    frames = np.arange(SECONDS * FPS)
    return np.where((frames % 50) > 20, 0.5 + 0.4 * np.sin(frames * 0.9), 0.0).clip(0, 1)


def write(path: Path, *, late_ms: int = 0, frames: int = SECONDS * FPS) -> Path:
    """A film of test cards whose sound is as loud as their mouths are open, or so much later."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = out.add_stream("aac", rate=RATE, layout="mono")
        for number, level in enumerate(levels()[:frames]):
            picture = card.blank(WIDTH, HEIGHT)
            card.draw(picture, number, float(level))
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        out.mux(video.encode(None))
        loud = np.repeat(levels(), RATE // FPS)
        sound = np.where(loud > 0, 10 ** ((40 * loud - 50) / 20), 0) * np.sin(np.arange(len(loud)) * 0.06)
        sound = np.roll(sound * 2**0.5, late_ms * RATE // 1000).astype(np.float32)
        for first in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(
                sound[None, first : first + 1024], format="fltp", layout="mono"
            )
            frame.rate, frame.pts = RATE, first
            out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    return path


def test_a_film_is_read(tmp_path):
    made = Film.of(write(tmp_path / "film.mp4"), cards=True)
    assert made.frames == SECONDS * FPS
    assert [each.number for each in made.cards] == list(range(SECONDS * FPS))
    assert made.offset_ms == pytest.approx(0, abs=40)
    assert made.wrong() == []


def test_a_voice_that_lags_behind_the_lips_is_wrong(tmp_path):
    made = Film.of(write(tmp_path / "film.mp4", late_ms=200), cards=True)
    assert made.offset_ms == pytest.approx(200, abs=40)
    assert any("behind the lips" in wrong for wrong in made.wrong())


def talking(*, late_seconds: float = 0.0, stands: tuple[int, int] = (0, 0)) -> Film:
    """Twelve seconds of a test card that talks from the third on; the frames of `stands` are not drawn."""
    frames = 12 * FPS
    said = babble("We are open from nine to six, but not on Sundays. " * 2).pcm
    sound = np.frombuffer(said, "<i2") / 32768
    track = np.zeros(24_000 * 12, np.float32)
    track[24_000 * 3 :][: len(sound)] = sound
    if stands != (0, 0):  # the process stood still, and said the rest afterwards
        first, last = (place * 960 for place in stands)
        stood = np.zeros(last - first, np.float32)
        track = np.concatenate((track[:first], stood, track[first : -len(stood)]))
    opened = np.clip((_decibels(track, 24_000).reshape(-1, 2).max(axis=1) + 50) / 40, 0, 1)
    made = film(frames=frames)
    made.loudness = _decibels(np.roll(track, round(24_000 * late_seconds)), 24_000)
    made.cards = [
        Card(number / FPS, number, float(level))
        for number, level in enumerate(opened)
        if not stands[0] <= number < stands[1]
    ]
    return made


@pytest.mark.parametrize("late", [-1.9, -0.6, 0.15, 0.6, 1.0, 1.9])
def test_a_voice_is_looked_for_far_from_the_lips(late):
    (wrong,) = talking(late_seconds=late).wrong()
    assert wrong.startswith("the voice lags ")
    assert float(wrong.split()[3]) == pytest.approx(1000 * late, abs=30)


@pytest.mark.parametrize("late", [-0.06, 0.0, 0.06])
def test_a_voice_beside_the_lips_is_right(late):
    assert talking(late_seconds=late).wrong() == []


def test_a_picture_that_stood_while_nothing_was_said_is_right():
    assert talking(stands=(100, 200)).wrong() == []


def test_lips_without_a_voice_like_them_are_wrong():
    made = talking()
    made.loudness = np.full_like(made.loudness, -60.0)
    (wrong,) = made.wrong()
    assert wrong.endswith("s have no voice (likeness -1.00)")


def test_lips_that_are_open_all_the_while_say_nothing_of_the_voice():
    made = talking()
    made.cards = [Card(card.at, card.number, 1.0) for card in made.cards]
    assert made.wrong() == []


def test_lips_that_hardly_move_say_nothing_of_the_voice():
    made = talking()
    made.loudness = np.full_like(made.loudness, -60.0)
    made.cards = [Card(card.at, card.number, card.level if card.at < 4 else 0.0) for card in made.cards]
    assert made.wrong() == []


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        (range(100), []),
        (
            [*range(25), *range(25, 50), *range(25, 50), *range(75, 100)],
            ["25 pictures are others, the first at 50: 25"],
        ),
        (range(99), ["99 of 100 pictures are test cards"]),
        ([], ["0 of 100 pictures are test cards"]),
    ],
    ids=["whole", "doubled", "unreadable", "another avatar"],
)
def test_every_picture_of_a_clip_of_cards_is_in_its_place(numbers, wrong):
    made = film(frames=100)
    made.cards = [Card(place / FPS, number, 0.0) for place, number in enumerate(numbers)]
    assert made.misplaced() == wrong


def test_sound_that_is_longer_than_the_pictures_is_wrong(tmp_path):
    made = Film.of(write(tmp_path / "film.mp4", frames=2 * FPS), cards=True)
    assert any("of pictures" in wrong for wrong in made.wrong())


def seen(numbers: Mapping[int, int] | Sequence[int], *, began: float = BEGAN) -> Talk:
    """Cards in the places they have, by media time: some places may have none."""
    watcher = Watcher()
    places = numbers if isinstance(numbers, Mapping) else dict(enumerate(numbers))
    for place, number in places.items():
        watcher.pictures.append(Picture(began + place / FPS, place * 3600, False, 100, card=number))
    stretch = Stretch(watcher, began, began + (max(places) + 1) / FPS)
    return Talk(id="ses_1", stretches=[stretch], seconds_to_wall=ORIGIN - BEGAN)


def shown(numbers: Sequence[int]) -> Film:
    made = film(frames=len(numbers))
    made.cards = [Card(place / FPS, number, 0.0) for place, number in enumerate(numbers)]
    return made


def test_a_recording_of_what_was_seen_is_like_it():
    assert shown(list(range(250))).unlike(seen(list(range(250))), ORIGIN) == []


def test_a_picture_that_stood_still_is_seen_so():
    told = [*range(100), *[99] * 30, *range(100, 150)]
    made = shown(told)
    del made.cards[100:130]  # the picture before them stands
    assert made.unlike(seen(told), ORIGIN) == []


def test_other_pictures_are_found():
    (wrong,) = shown([*range(100), *range(500, 525), *range(125, 250)]).unlike(seen(range(250)), ORIGIN)
    assert wrong == (
        "25 of 25 pictures seen at 4.0 s are not there, +0.00 s later: 100-124 in 75-99 500-524 125-148"
    )


def test_what_was_lost_on_the_way_to_the_customer_is_no_other_picture():
    came = {place: place for place in range(250) if place % 20 and not 60 <= place < 64}
    assert shown(range(250)).unlike(seen(came), ORIGIN) == []


def test_what_came_late_is_no_other_picture():
    assert shown([0] * 15 + list(range(250))).unlike(seen(range(235)), ORIGIN) == []


@pytest.mark.parametrize(
    "recorded",
    [
        [*range(110), *reversed(range(110, 125)), *range(125, 250)],
        [*range(110), *range(500, 505), *range(110, 250)],
        [*range(105), *range(112, 250)],
        [*range(100), *[100] * 25, *range(125, 250)],
    ],
    ids=["in another order", "others in between", "some left out", "one that stands"],
)
def test_pictures_that_are_not_each_in_its_place_are_found(recorded):
    assert shown(recorded).unlike(seen(range(250)), ORIGIN) != []


def test_pictures_that_are_no_test_cards_are_not_what_was_seen():
    (wrong,) = shown([]).unlike(seen(list(range(250))), ORIGIN)
    assert wrong == "test cards were seen for 10 s, and none can be read in it"


def test_what_was_heard_elsewhere_is_told_with_its_place():
    talk = spoken()
    talk.stretches[0].watcher.sounds[:] = sounds(began=107.0)
    (wrong,) = film(frames=300, said_at=3.0).unlike(talk, ORIGIN)
    assert wrong.startswith("1.6 s heard at 7.0 s stand at 3.0 s")


@pytest.mark.parametrize(("late", "there"), [(-0.8, True), (0.8, True), (-1.4, False), (1.4, False)])
def test_speech_may_stand_a_second_elsewhere_than_it_came_and_no_more(late, there):
    found = film(frames=300, said_at=3.0 + late).unlike(spoken(), ORIGIN)
    assert (found == []) is there


def test_a_session_that_was_heard_has_an_origin():
    assert film().unlike(spoken(), None) == ["the session has no origin"]


def said(place: float | None, *, ended: float = BEGAN + 20) -> tuple[Film, Talk]:
    """A customer who said something after 3 s, and a recording that has it elsewhere or nowhere."""
    pcm = Recorded.babbled("When are you open?").pcm
    talk = Talk(id="ses_1", stretches=[Stretch(Watcher(), BEGAN, ended)], seconds_to_wall=ORIGIN - BEGAN)
    talk.aloud.append(Aloud(BEGAN + 3, pcm))
    made = film(frames=500)
    made.customer = np.full(1000, -60.0, np.float32)
    if place is not None:
        loud = _decibels((np.frombuffer(pcm, np.int16) / 32768).astype(np.float32), 16_000)
        made.customer[round(place * 50) :][: len(loud)] = loud
    return made, talk


@pytest.mark.parametrize(("place", "there"), [(3.2, True), (9.0, False), (None, False)])
def test_what_the_customer_said_is_looked_for_in_its_place(place, there):
    made, talk = said(place)
    wrong = made.unlike(talk, ORIGIN)
    assert wrong == [] if there else "what the customer said at 3.0 s is not there" in wrong[0]


def test_what_was_said_to_a_dying_host_is_not_looked_for():
    made, talk = said(None, ended=BEGAN + 4)
    assert made.unlike(talk, ORIGIN) == []


LONGER = 20.0  # than its session, in seconds of the film


@pytest.mark.parametrize(
    ("seconds", "away", "right"),
    [
        (12.0, (), True),
        (15.0, (), True),  # the host read of the end with its next lease
        (LONGER, (), False),
        (LONGER, ((BEGAN + 8, BEGAN + 18),), True),  # it stood still
        (LONGER, ((BEGAN + 2, BEGAN + 5),), False),
        (LONGER, ((BEGAN + 13, BEGAN + 18),), False),
        (30.0, ((BEGAN + 8, BEGAN + 18),), False),
    ],
)
def test_a_recording_ends_with_its_session(seconds, away, right):
    wrong = film(frames=round(seconds * FPS)).goes_on(spoken(), ORIGIN, away)
    assert (wrong == []) is right


def test_of_a_session_that_its_customer_could_not_end_the_length_is_not_known():
    talk = spoken()
    talk.trouble.append("TimeoutError")
    assert film(frames=750).goes_on(talk, ORIGIN) == []
