"""Small PDFs: with text, with pictures of pages, locked, broken, and hostile ones."""

import io
import zlib
from collections.abc import Sequence

from pypdf import PdfReader, PdfWriter


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF with these pages; each line of a page is a line of text (Latin letters)."""
    return assembled([_content(text) for text in pages])


def locked(pages: Sequence[str], password: str = "secret", *, owner_only: bool = False) -> bytes:
    """As `pdf`, encrypted; with `owner_only` everybody may read it, and only changing needs the password."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(pages))))
    writer.encrypt("" if owner_only else password, password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def scan(pages: int) -> bytes:
    """Pages that draw nothing but a grey square."""
    return assembled([b"0.8 g 72 72 400 600 re f"] * pages)


def bomb(megabytes: int = 800) -> bytes:
    """A page whose few kilobytes unpack to very much."""
    squeezed = zlib.compressobj(9)
    data = b"".join(squeezed.compress(b" " * (1 << 20)) for _ in range(megabytes)) + squeezed.flush()
    return assembled([data], filtered=True)


def endless() -> bytes:
    """A page tree that holds itself."""
    return pdf(["Round and round."]).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]")


def nested(depth: int = 100_000) -> bytes:
    """A content of brackets within brackets."""
    return assembled([b"BT " + b"[" * depth + b"]" * depth + b" TJ ET"])


def slow(operators: int = 6_000_000) -> bytes:
    """A small file whose page takes minutes to draw."""
    data = b"BT /F1 12 Tf " + b"(a) Tj " * operators + b"ET"
    return assembled([zlib.compress(data, 9)], filtered=True)


def assembled(contents: Sequence[bytes], *, filtered: bool = False) -> bytes:
    numbers = [4 + 2 * n for n in range(len(contents))]
    kids = " ".join(f"{n} 0 R" for n in numbers)
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>".encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    }
    for number, content in zip(numbers, contents, strict=True):
        objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {number + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        ).encode()
        kind = b" /Filter /FlateDecode" if filtered else b""
        objects[number + 1] = (
            b"<< /Length %d%s >>\nstream\n" % (len(content), kind) + content + b"\nendstream"
        )
    out = bytearray(b"%PDF-1.4\n")
    places = {}
    for number in sorted(objects):
        places[number] = len(out)
        out += b"%d 0 obj\n" % number + objects[number] + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % places[number] for number in sorted(objects))
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _content(text: str) -> bytes:
    lines = [line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in text.split("\n")]
    drawn = " T* ".join(f"({line}) Tj" for line in lines)
    return f"BT /F1 11 Tf 14 TL 72 760 Td {drawn} ET".encode("cp1252", "replace")
