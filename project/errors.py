"""Every error this service raises on purpose.

* ParleyError                  has a stable `code` that clients may rely on
  x InvalidInput               the caller sent something we cannot use (400, 413, 415 or 422)
  x NotFound                   no such thing, or not yours: the two are never told apart (404)
  x NotAllowed                 you may never do this (403)
  x Conflict                   not in this state (409)
  x Gone                       it was there, and expired (410)
  x LimitReached               a rate or an allowance is used up (429)
  x Unavailable                a part of the service is away for a moment (503)

Services raise these and never mention HTTP; `project.api.problems` turns them into answers.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field; `pointer` is a JSON Pointer into the request body."""

    pointer: str
    code: str
    detail: str


class ParleyError(Exception):
    """Base of all; `code` is part of the public contract, the message is for people."""

    code = "error"
    status = 500

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code


class InvalidInput(ParleyError):
    """Something the caller sent cannot be used; says which field where one is to blame."""

    code = "invalid"
    status = 400

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        pointer: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.pointer = pointer
        self.status = status or type(self).status

    @property
    def errors(self) -> list[FieldError]:
        if self.pointer is None:
            return []
        return [FieldError(self.pointer, self.code, str(self))]


class NotFound(ParleyError):
    code = "not_found"
    status = 404


class NotAllowed(ParleyError):
    code = "not_allowed"
    status = 403


class Conflict(ParleyError):
    code = "conflict"
    status = 409


class Gone(ParleyError):
    code = "expired"
    status = 410


class LimitReached(ParleyError):
    """A rate or an allowance is used up; `retry_after` is in seconds where waiting helps."""

    code = "limit_reached"
    status = 429

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        limit: int | None = None,
        used: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.limit = limit
        self.used = used
        self.retry_after = retry_after


class Unavailable(ParleyError):
    """A part we depend on is away; the same request may work later."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str = "", *, code: str | None = None, retry_after: int = 2) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
