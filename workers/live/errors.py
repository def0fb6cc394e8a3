"""How a render request can end without a fragment."""

from project.errors import Conflict, ParleyError, Unavailable


class RenderFailed(ParleyError):
    """No worker made this fragment, however often it was asked for.

    `code` is that of the last answer, or `render_timeout` where none came.
    """

    code = "render_failed"
    status = 503


class RenderUnavailable(Unavailable):
    """The broker stayed away longer than a request may wait. It is asked again by the next one."""

    code = "broker_unavailable"


class RenderCancelled(Conflict):
    """The request's epoch is over: somebody interrupted."""

    code = "interrupted"
