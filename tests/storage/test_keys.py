import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import keys


def test_the_examples_in_the_module_hold() -> None:
    assert doctest.testmod(keys).failed == 0
    assert doctest.testmod(keys).attempted > 10


@given(st.integers(0, 999_999), st.integers(0, 999_999))
def test_fragments_sort_as_they_play(one: int, other: int) -> None:
    assert (keys.fragment("clip_1", one) < keys.fragment("clip_1", other)) == (one < other)


@pytest.mark.parametrize("part", ["", "..", ".hidden", "a/b", "a\\b", "a b", "a\n", "%2e%2e", "ключ/"])
def test_a_key_is_never_built_from_a_path(part: str) -> None:
    with pytest.raises(ValueError, match="Not a part"):
        keys.clip(part)
