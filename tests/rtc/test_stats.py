"""When the picture shrinks, and when it may grow again."""

from rtc.stats import MAX_PATIENCE_SECONDS, PATIENCE_SECONDS, Quality

FULL, LOW = 800_000, 300_000


class Path:
    """A path whose clock and reports a test moves by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.levels: list[str] = []
        self.quality = Quality(self.levels.append, lambda: self.now)

    def second(self, *, loss: float = 0.0, estimate: int | None = None) -> None:
        self.now += 1
        self.quality.reported(loss)
        if estimate is not None:
            self.quality.estimated(estimate)
        self.quality.sent(FULL if self.quality.level == "normal" else LOW)

    def seconds(self, count: float, *, loss: float = 0.0, estimate: int | None = None) -> None:
        for _ in range(int(count)):
            self.second(loss=loss, estimate=estimate)


def test_a_good_path_is_left_alone() -> None:
    path = Path()
    path.seconds(60, loss=0.01, estimate=2_000_000)
    assert path.levels == []


def test_one_burst_of_loss_changes_nothing_and_two_do() -> None:
    path = Path()
    path.second(loss=0.5)
    path.second()
    path.second(loss=0.5)
    assert path.levels == []
    path.second(loss=0.5)
    assert path.levels == ["low"]


def test_an_estimate_that_is_still_growing_lowers_nothing() -> None:
    """Receivers begin far below what they get when little was sent at first."""
    path = Path()
    estimate = 70_000.0
    for _ in range(60):
        path.second(estimate=int(estimate))
        estimate = min(estimate * 1.08, 1_200_000)
    assert path.levels == []


def test_a_narrow_path_lowers_soon_and_does_not_flap() -> None:
    path = Path()
    path.seconds(5, estimate=500_000)
    assert path.levels == ["low"]
    path.seconds(60, estimate=310_000)
    assert path.levels == ["low"], "what we send fits, but with nothing to spare"


def test_it_grows_again_after_a_clean_while() -> None:
    path = Path()
    path.seconds(5, estimate=500_000)
    path.seconds(PATIENCE_SECONDS - 2, estimate=450_000)
    assert path.levels == ["low"]
    path.seconds(4, estimate=450_000)
    assert path.levels == ["low", "normal"], "a receiver never estimates far above what it gets"


def test_growing_too_early_makes_the_next_wait_longer() -> None:
    path = Path()
    waits: list[float] = []
    for _ in range(6):
        while path.quality.level == "normal":
            path.second(estimate=500_000)
        began = path.now
        while path.quality.level == "low":
            path.second(estimate=450_000)
        waits.append(path.now - began)
    assert waits[1] > 1.5 * waits[0]
    assert waits == sorted(waits)
    assert waits[-1] <= MAX_PATIENCE_SECONDS + 2


def test_loss_that_stays_keeps_the_picture_small() -> None:
    path = Path()
    path.seconds(3, loss=0.2)
    path.seconds(100, loss=0.05)
    assert path.levels == ["low"]
