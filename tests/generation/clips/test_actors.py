"""What the threads of a render process share."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from generation.clips.actors import _Shared


def test_what_several_threads_ask_for_is_made_once() -> None:
    shared, made, may_end = _Shared(2), [], threading.Event()

    def make() -> object:
        made.append(object())
        assert may_end.wait(20)
        return made[-1]

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(shared.get, "key", make) for _ in range(4)]
        may_end.set()
        assert {id(one.result(timeout=20)) for one in asked} == {id(made[0])}
    assert len(made) == 1


def test_making_one_holds_up_no_other() -> None:
    shared = _Shared(2)
    assert shared.get("outer", lambda: shared.get("inner", lambda: "made")) == "made"


def test_what_could_not_be_made_is_tried_again_and_leaves_nothing() -> None:
    shared = _Shared(2)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            shared.get("key", lambda: 1 / 0)
    assert not shared._making
    assert shared.get("key", lambda: "made") == "made"


def test_only_the_last_ones_are_kept() -> None:
    shared = _Shared(2)
    for key in "abc":
        shared.get(key, lambda key=key: key)
    assert shared.get("b", lambda: "again") == "b"
    assert shared.get("a", lambda: "again") == "again"
