import pytest

from workers.speechd import alphabet, timing
from workers.speechd.graph import with_output
from workers.speechd.line import Letter, Line


def line(phonemes: str) -> Line:
    """Words are what spaces and marks separate."""
    letters, word = [], 0
    for symbol in phonemes:
        silent = symbol in alphabet.SILENT
        letters.append(Letter(symbol, -1 if silent else word))
        word += symbol == " "
    return Line(tuple(letters), tuple(f"w{index}" for index in range(word + 1)))


@pytest.mark.parametrize(
    ("ipa", "expected"),
    [
        ("ˈpɑːrli", "pˈɑɹli"),
        ("təˈmeɪtoʊ", "təmˈAtO"),
        ("dʒɔɪ", "ʤY"),
        ("ˈtʃɜːrtʃ", "ʧˈɜɹʧ"),
        ("ɡəʊ", "ɡO"),
    ],
)
def test_written_ipa_becomes_the_voices_alphabet(ipa, expected):
    assert alphabet.from_ipa(ipa) == expected


@pytest.mark.parametrize(
    ("ours", "espeak"),
    [
        ("bˈɜɹd", "bˈɜːd"),
        ("bˈʌTəɹ", "bˈʌɾɚ"),
        ("vˈYs", "vˈɔɪs"),
        ("tˈim", "tˈiːm"),
        ("wi", "wi"),
        ("fˈɔɹ", "fˈɔːɹ"),
    ],
)
def test_a_piper_voice_reads_espeaks_spelling(ours, espeak):
    assert "".join(alphabet.to_piper(list(ours))) == espeak


def test_every_sound_that_leaves_is_one_letter():
    for letter in "AIOQWYʤʧᵊTʣʥʦʨ":
        assert all(len(sound) == 1 and sound.islower() for sound in alphabet.sounds(letter))
    assert alphabet.sounds("ˈ") == alphabet.sounds("ː") == alphabet.sounds(",") == ""


def test_long_lines_are_cut_at_sentences_then_clauses_then_spaces():
    assert [part.phonemes for part in line("abc. def? ghi").pieces()] == ["abc.", "def?", "ghi"]
    assert [part.phonemes for part in line("abcdef, gh ij").pieces(limit=8)] == ["abcdef,", " gh ij"]
    assert [len(part.letters) for part in line("a" * 25).pieces(limit=10)] == [10, 10, 5]


def test_pieces_number_their_own_words():
    first, second = line("ab cd. ef").pieces()
    assert first.words == ("w0", "w1")
    assert second.words == ("w2",)
    assert {letter.word for letter in second.letters} == {0}


def test_marks_lend_their_time_to_the_sound_beside_them():
    text = line("pˈɑː t")
    edges = [0.0, 0.1, 0.15, 0.3, 0.4, 0.42, 0.5]
    found = timing.sounds_of(text, edges)
    assert [(s.symbol, round(s.start, 3), round(s.end, 3)) for s in found] == [
        ("p", 0.0, 0.1),
        ("ɑ", 0.1, 0.41),
        ("t", 0.41, 0.5),
    ]
    assert [(w.text, round(w.start, 3)) for w in timing.words_of(text, found)] == [("w0", 0.0), ("w1", 0.41)]


def test_a_pause_stays_a_pause():
    found = timing.sounds_of(line("a, b"), [0.0, 0.1, 0.4, 0.5, 0.6])
    assert [(s.start, s.end) for s in found] == [(0.0, 0.1), (0.5, 0.6)]


def test_a_diphthong_is_two_sounds():
    found = timing.sounds_of(line("W"), [0.0, 0.2])
    assert [(s.symbol, s.start, s.end) for s in found] == [("a", 0.0, 0.1), ("ʊ", 0.1, 0.2)]


def test_sounds_outside_a_piece_are_left_out():
    found = timing.sounds_of(line("abc"), [-0.2, -0.1, 0.1, 0.3])
    assert [(s.symbol, s.start, s.end) for s in timing.within(found, 0.2)] == [
        ("b", 0.0, 0.1),
        ("c", 0.1, 0.2),
    ]


def test_an_output_is_added_behind_a_model():
    assert with_output(b"model", "/x") == b"model" + bytes([0x3A, 6, 0x62, 4, 0x0A, 2]) + b"/x"
    assert with_output(b"", "n" * 200)[:3] == bytes([0x3A, 0xCE, 0x01])
