"""Reads a PDF in a process of its own, which may be killed.

`python -I pdf_child.py FILE SECONDS BYTES PAGES CHARACTERS`

A PDF is a program of sorts, and a hostile one loops, or grows a few kilobytes into gigabytes. So this
process gets limits on its time, its memory and its output before the library is loaded. It writes a
line of JSON for each page, then `{"end": "ok"}` or the reason why not. It knows nothing of us.
"""

import json
import resource
import sys
from typing import Any

OUTPUT_BYTES = 128 * 1024 * 1024


def main(path: str, seconds: int, memory: int, pages: int, characters: int) -> str:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT_BYTES, OUTPUT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from pypdf import PasswordType, PdfReader  # noqa: PLC0415 - within the limits

    reader = PdfReader(path)
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        return "document_encrypted"
    if len(reader.pages) > pages:
        return "document_too_large"
    return _pages(reader, characters)


def _pages(reader: Any, characters: int) -> str:
    read = failed = 0
    for number, page in enumerate(reader.pages, 1):
        try:
            text = page.extract_text()
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - one broken page does not make the others unreadable
            text, failed = "", failed + 1
        read += len(text)
        if read > characters:
            return "document_too_large"
        sys.stdout.write(json.dumps({"page": number, "text": text}) + "\n")
    if not read:
        return "document_unreadable" if failed else "document_without_text"
    return "ok"


if __name__ == "__main__":
    try:
        end = main(sys.argv[1], *map(int, sys.argv[2:6]))
    except (MemoryError, RecursionError):
        end = "document_too_slow"
    except Exception:  # noqa: BLE001 - whatever a damaged file breaks, it is damaged
        end = "document_unreadable"
    sys.stdout.write(json.dumps({"end": end}) + "\n")
