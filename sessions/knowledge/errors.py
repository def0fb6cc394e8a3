"""Why a document cannot be used; the codes are part of the API."""


class Unreadable(Exception):
    """`code` is stored with the document; the message is for its owner."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


MESSAGES = {
    "document_empty": "There is no text in this document.",
    "document_encrypted": "This PDF is protected by a password.",
    "document_without_text": "This PDF holds pictures of pages and no text. Have its text recognised first.",
    "document_unreadable": "This file is damaged, or not what it says it is.",
    "document_too_large": "This document has more text or more pages than a document may have.",
    "document_too_slow": "Reading this PDF took too much time or memory.",
    "too_many_passages": "The documents of this persona have more text than a persona may have.",
    "original_missing": "The file of this document is gone. Send it again.",
    "internal_error": "Something went wrong while reading this document. It was logged.",
}


def unreadable(code: str) -> Unreadable:
    return Unreadable(code, MESSAGES[code])
