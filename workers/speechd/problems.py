"""Refusals in the form of OpenAI's API."""

from aiohttp import web


class Refused(Exception):
    """The request cannot be served; becomes `{"error": {...}}` with that status."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def response(self) -> web.Response:
        kind = "invalid_request_error" if self.status < 429 else "server_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        headers = {"Retry-After": "1"} if self.status in (429, 503) else {}
        return web.json_response({"error": error}, status=self.status, headers=headers)


def bad(code: str, message: str, param: str | None = None) -> Refused:
    return Refused(400, code, message, param=param)
