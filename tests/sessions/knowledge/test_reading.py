"""Files become passages, and hostile ones an error in good time."""

from itertools import pairwise

import pytest

from sessions.knowledge import chunks, markdown, pdf, plain
from sessions.knowledge.chunks import Block
from sessions.knowledge.errors import Unreadable
from sessions.knowledge.reading import kind_of, read
from tests.support import pdfs

SENTENCES = [f"Sentence number {n} tells something about topic {n % 7}." for n in range(60)]


def refused(data: bytes, **limits) -> str:
    with pytest.raises(Unreadable) as error:
        pdf.pages(data, most=limits.pop("most", 2_000), **limits)
    return error.value.code


# --- Passages --------------------------------------------------------------------------------------


def test_passages_are_neither_long_nor_lose_a_sentence():
    found = list(chunks.pieces([Block(" ".join(SENTENCES), ("Topics",))]))
    assert all(200 < len(piece.text) <= chunks.MOST for piece in found)
    assert all(any(sentence in piece.text for piece in found) for sentence in SENTENCES)
    assert {piece.heading for piece in found} == {"Topics"}


def test_passages_of_one_section_overlap_and_sections_do_not():
    first = [Block(sentence, ("A",)) for sentence in SENTENCES[:30]]
    found = list(chunks.pieces([*first, Block("Something else.", ("A", "B"))]))
    for before, after in pairwise(found[:-1]):
        assert before.text.split("\n")[-1] == after.text.split("\n")[0]
    assert (found[-1].heading, found[-1].text) == ("A › B", "Something else.")


def test_text_without_sentences_or_spaces_is_cut_all_the_same():
    for text in ("x" * 5_000, "word " * 1_000, "漢字" * 2_000):
        found = list(chunks.pieces([Block(text)]))
        assert all(len(piece.text) <= chunks.MOST for piece in found)
        assert sum(len(piece.text.replace(" ", "")) for piece in found) >= len(text.replace(" ", ""))


# --- Text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "encoding", "language"),
    [
        ("Größe und Preis", "utf-8", "de"),
        ("Größe und Preis", "utf-8-sig", "de"),
        ("Größe und Preis", "cp1252", "de"),
        ("Größe und Preis", "utf-16", "de"),
        ("Grosse und Preis", "utf-16-le", "de"),
        ("営業時間は九時からです", "cp932", "ja"),
        ("営業時間は九時からです", "euc_jp", "ja"),
        ("退货服务是免费的", "gb18030", "zh-CN"),
        ("환불은 십 일 이내", "cp949", "ko"),
        ("Магазин открыт", "cp1251", "ru"),
    ],
)
def test_the_encoding_is_found(text, encoding, language):
    assert plain.decoded(text.encode(encoding), language) == text


def test_control_characters_and_line_ends_are_cleaned():
    assert plain.decoded(b"a\x00b\r\nc\x0c\xef\xbb\xbfd\x7f") == "ab\nc\n\nd"


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", bytes(range(256)) * 8, b"PK\x03\x04\0\0" * 99]
)
def test_what_is_no_text_is_refused(data):
    assert kind_of("notes.txt", data) is None


def test_the_content_decides_and_then_the_name():
    assert kind_of("a.txt", pdfs.pdf(["x"])) == "pdf"
    assert kind_of("a.pdf", b"just words") == "text"
    assert kind_of("README.MD", b"# Title") == "markdown"


def test_a_short_line_that_stands_alone_is_a_heading():
    found, _ = read(
        "text", b"Opening hours\n\nWe open at nine.\n\nOn Sundays we are closed.\n\nPrices\n\nFrom ten euros."
    )
    assert [(piece.heading, piece.text) for piece in found] == [
        ("Opening hours", "We open at nine.\nOn Sundays we are closed."),
        ("Prices", "From ten euros."),
    ]


# --- Markdown --------------------------------------------------------------------------------------


def test_markdown_keeps_what_is_said_and_drops_its_marks():
    text = """---
title: x
---
# Shop

Intro with **bold** and a [link](https://example.com/a_(b) "t") to ![a picture](x.png).

## Prices <!-- hidden -->

| Service | Price |
|---------|:-----:|
| Repair  | 60 €  |
| *Check* | free  |

```sh
make up   # starts
```

Returns
-------
> 1. within ten days
> 2. with the [receipt][r]

[r]: https://example.com
"""
    found = [(block.heading, block.text) for block in markdown.blocks(text)]
    assert found == [
        (("Shop",), "Intro with bold and a link to a picture."),
        (("Shop", "Prices"), "Service: Repair; Price: 60 €\nService: Check; Price: free"),
        (("Shop", "Prices"), "make up   # starts"),
        (("Shop", "Returns"), "1. within ten days\n2. with the receipt"),
    ]


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "![](" * 20_000, "`" * 50_000, "*a " * 50_000, "<a " * 50_000, "<!--" * 20_000,
     "| a " * 20_000 + "\n|-|", "> " * 50_000, "#" * 50_000, "---\n" * 20_000, "_" * 50_000,
     "~~~\n" * 20_001, "- " * 30_000, "\\" * 50_000],
)  # fmt: skip
def test_hostile_markdown_is_read_in_good_time(text):
    list(chunks.pieces(markdown.blocks(text)))


# --- PDF -------------------------------------------------------------------------------------------


def test_pages_of_a_pdf_are_kept_and_running_heads_are_not():
    texts = [
        f"Shop Handbook\nOn page {n} there is fact {n}.\nIt is im-\nportant.\nMore: {n * 7}.\nPage {n} of 6"
        for n in range(1, 7)
    ]
    found, count = read("pdf", pdfs.pdf(texts))
    assert count == 6
    assert found[0].page == 1
    whole = "\n".join(piece.text for piece in found)
    assert "On page 4 there is fact 4. It is important." in whole
    assert "Handbook" not in whole
    assert "of 6" not in whole


def test_each_passage_knows_its_page():
    texts = [" ".join(SENTENCES[n * 12 : n * 12 + 12]).replace(". ", ".\n") for n in range(5)]
    found, _ = read("pdf", pdfs.pdf(texts))
    assert [piece.page for piece in found if "number 25 " in piece.text][-1] == 3


def test_a_locked_pdf_says_so_and_one_that_anybody_may_read_is_read():
    assert refused(pdfs.locked(["Hidden words."])) == "document_encrypted"
    assert (
        "Open words."
        in pdf.pages(pdfs.locked(["Open words and more of them. Open words."], owner_only=True), most=9)[0]
    )


def test_pictures_of_pages_are_no_text():
    assert refused(pdfs.scan(3)) == "document_without_text"
    assert refused(pdfs.pdf(["7", "8", "9"])) == "document_without_text"


def test_too_many_pages_are_refused():
    assert refused(pdfs.pdf(["Words enough for a page."] * 12), most=10) == "document_too_large"


@pytest.mark.parametrize("cut", [20, 300, 500])
def test_a_damaged_pdf_is_refused_or_read(cut):
    data = pdfs.pdf(["Some words on a page that matter."])
    assert refused(data[:cut]) in ("document_unreadable", "document_without_text")


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"%PDF-1.7\n" + bytes(10_000), b"%PDF-" + b"<<" * 100_000])
def test_nonsense_behind_the_first_line_is_refused(data):
    assert refused(data) in ("document_unreadable", "document_too_slow", "document_without_text")


@pytest.mark.parametrize("make", [pdfs.bomb, pdfs.endless, pdfs.nested, pdfs.slow])
def test_a_hostile_pdf_costs_its_limits_and_no_more(make):
    assert refused(make(), seconds=3) in ("document_too_slow", "document_unreadable", "document_without_text")


def test_reading_ends_when_it_is_called_off():
    class Called(Exception):
        pass

    def check():
        raise Called

    with pytest.raises(Called):
        pdf.pages(pdfs.slow(), most=10, check=check)
