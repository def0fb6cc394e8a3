import pytest
from channels.testing import WebsocketCommunicator

from sessions.routing import application


@pytest.mark.parametrize("path", ["/ws/", "/ws/sessions/ses_1/", "/login/", "/ws/sessions/\udcff/", "/"])
async def test_a_socket_to_nowhere_is_refused(path: str) -> None:
    socket = WebsocketCommunicator(application, path)
    connected, _ = await socket.connect()
    assert not connected
