import io
import logging

from django.urls import path
from rest_framework.views import APIView

from project.tracing import ContextFilter


class Talking(APIView):
    required_scopes = {"GET": None}

    def get(self, request):
        logging.getLogger("project.test").warning("something odd")
        raise ZeroDivisionError


urlpatterns = [path("api/v1/talking", Talking.as_view())]
handler500 = "project.api.handlers.server_error"


def test_log_lines_name_the_request_that_the_caller_was_told(settings, alice, as_user):
    settings.ROOT_URLCONF = __name__
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.addFilter(ContextFilter())
    handler.setFormatter(logging.Formatter("%(context)s %(message)s"))
    logging.getLogger("project.test").addHandler(handler)
    try:
        answer = as_user(alice, raise_request_exception=False).get("/api/v1/talking")
    finally:
        logging.getLogger("project.test").removeHandler(handler)
    assert lines.getvalue() == f"{{'request_id': '{answer.json()['request_id']}'}} something odd\n"
