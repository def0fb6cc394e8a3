"""Parts: what is packed can be read, and nothing else is taken for one."""

import pytest

from sessions.recording.parts import PartMalformed, Run, Sheet, open_part, pack


@pytest.fixture
def packed() -> bytes:
    return pack(
        Sheet([Run(3, 4, -1, 5)], [(0, b"take")], [(3, b"speech")], [(7, b"mic"), (9, b"")], 12, True)
    )


def test_a_part_comes_back_as_it_was(packed, tmp_path):
    (tmp_path / "part").write_bytes(packed)
    part = open_part(tmp_path / "part")

    assert part.header.runs == [Run(3, 4, -1, 5)]
    assert (part.header.lost, part.header.closed) == (12, True)
    blobs = [*part.header.takes, *part.header.speech, *part.header.microphone]
    assert [(blob.at, part.read(blob)) for blob in blobs] == [
        (0, b"take"),
        (3, b"speech"),
        (7, b"mic"),
        (9, b""),
    ]


@pytest.mark.parametrize("size", [0, 5, 8, 40, -1])
def test_a_part_that_is_cut_is_refused(packed, tmp_path, size):
    (tmp_path / "part").write_bytes(packed[:size])
    with pytest.raises(PartMalformed):
        open_part(tmp_path / "part")


@pytest.mark.parametrize(
    "data", [b"RIFF" + bytes(60), b"PRT1\xff\xff\xff\xff" + bytes(60), b"PRT1\0\0\0\2{}"]
)
def test_other_objects_are_refused(tmp_path, data):
    (tmp_path / "part").write_bytes(data)
    with pytest.raises(PartMalformed):
        open_part(tmp_path / "part")
