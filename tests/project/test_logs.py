"""What log lines hold: ids of what they are about, figures, and nothing that was said."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading

import pytest
from django.db import DataError, IntegrityError, OperationalError

from project import context, tracing
from workers.adapters.errors import AdapterError
from workers.logs import MOST_CHARACTERS, JsonFormatter, LineFormatter

MARKER = "zebrafinch"


@pytest.fixture
def written():
    """Write records the way the service does; returns what came of the last one."""
    made = []
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(tracing.ContextFilter())
    log = logging.getLogger("tests.written")
    log.addHandler(handler)
    log.propagate = False

    def write(formatter, level, message, *args, **kwargs):
        handler.setFormatter(formatter)
        out.seek(0)
        out.truncate()
        log.log(level, message, *args, **kwargs)
        return out.getvalue()

    made.append(handler)
    yield write
    log.removeHandler(handler)


@pytest.fixture(autouse=True)
def nothing_known():
    """Other tests were requests, in this same thread."""
    with context.only():
        yield


def raised(error):
    try:
        raise error  # noqa: TRY301 - that is all it is for
    except BaseException as caught:  # noqa: BLE001 - given back
        return caught


def test_json_lines_hold_what_a_record_is_about(written):
    with context.about(session="ses_1", turn=3):
        line = written(
            JsonFormatter(process="web1"),
            logging.INFO,
            "Over after %d s",
            4,
            extra=context.facts(heard_ms=9, no=None),
        )
    told = json.loads(line)
    assert line.count("\n") == 1
    assert told.pop("ts").endswith("Z")
    assert told.pop("process").startswith("web1:")
    assert told == {
        "heard_ms": 9,
        "level": "INFO",
        "logger": "tests.written",
        "message": "Over after 4 s",
        "session": "ses_1",
        "turn": 3,
    }


def test_a_figure_cannot_pretend_to_be_what_the_line_is_about(written):
    with context.about(session="ses_1"):
        told = json.loads(
            written(JsonFormatter(), logging.INFO, "x", extra=context.facts(session="ses_2", level="y"))
        )
    assert (told["session"], told["level"]) == ("ses_1", "INFO")


def test_lines_for_people_hold_the_same(written):
    with context.about(clip="clip_1"):
        line = written(LineFormatter(), logging.WARNING, "It waits", extra=context.facts(tries=2))
    assert line.endswith(" WARNING tests.written [clip=clip_1] It waits tries=2\n")
    assert " [-] " in written(LineFormatter(), logging.INFO, "Nobody's")


@pytest.mark.parametrize("formatter", [LineFormatter, JsonFormatter])
@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"no number: {MARKER}"),
        KeyError(MARKER),
        UnicodeDecodeError("utf-8", MARKER.encode(), 0, 1, MARKER),
        IntegrityError(f"null value in column x\nDETAIL:  Failing row contains ({MARKER})."),
        DataError(f'invalid input syntax for type integer: "{MARKER}"'),
        OperationalError(f'fts5: syntax error near "{MARKER}"'),
        OperationalError(f"no such column: {MARKER}"),
        OperationalError(f"syntax error at or near {MARKER}"),
        ExceptionGroup("unhandled errors in a TaskGroup", [ValueError(MARKER), OSError("refused")]),
        raised(RuntimeError("outer")).with_traceback(None),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_keep_what_they_were_given_to_themselves(written, formatter, error):
    caught = raised(error)
    if isinstance(error, RuntimeError):
        caught.__cause__ = ValueError(MARKER)
    line = written(formatter(), logging.ERROR, "It broke", exc_info=caught)
    assert type(error).__name__ in line
    assert "in raised" in line
    assert MARKER not in line
    assert MARKER in written(formatter(discreet=False), logging.ERROR, "It broke", exc_info=caught)


def test_of_a_long_exception_the_error_itself_is_told(written):
    error = OSError("the first")
    for words in (*("." * 50 for _ in range(400)), "the last"):
        before, error = error, OSError(words)
        error.__cause__ = before
    told = json.loads(written(JsonFormatter(), logging.ERROR, "It broke", exc_info=raised(error)))
    assert len(told["exception"]) < MOST_CHARACTERS + 100
    assert "characters left out" in told["exception"]
    assert told["exception"].endswith("OSError: the last")


def broken_in(module, words):
    """A RuntimeError that a module raises."""
    try:
        exec("raise RuntimeError(words)", {"__name__": module, "words": words})
    except RuntimeError as error:
        return error


def test_a_runtime_error_is_told_where_it_is_not_a_library_that_raised_it(written):
    for module in ("sessions.pipeline.reply", "asyncio.base_events", "torch.nn.modules.module"):
        line = written(
            LineFormatter(), logging.ERROR, "It broke", exc_info=broken_in(module, "It is closed.")
        )
        assert "RuntimeError: It is closed." in line
    for error in (broken_in("sentencepiece", f"cannot read {MARKER}"), RuntimeError(MARKER)):
        assert MARKER not in written(LineFormatter(), logging.ERROR, "It broke", exc_info=error)
        assert MARKER not in written(LineFormatter(), logging.ERROR, "It broke: %s", error)


def test_errors_of_ours_are_told_with_their_words(written):
    error = AdapterError("The speech provider answered 503.", provider="edge", retryable=True)
    line = written(LineFormatter(), logging.ERROR, "It broke", exc_info=raised(error))
    assert "workers.adapters.errors.AdapterError: The speech provider answered 503." in line
    assert "OSError: refused" in written(
        LineFormatter(), logging.ERROR, "x", exc_info=raised(OSError("refused"))
    )


def test_exceptions_among_the_arguments_of_a_message_are_told_likewise(written):
    for error in (ValueError(MARKER), OperationalError(f'fts5: syntax error near "{MARKER}"')):
        line = written(LineFormatter(), logging.WARNING, "%s could not be searched: %s", "per_1", error)
        assert f"per_1 could not be searched: {type(error).__name__}" in line
        assert MARKER not in line
        assert MARKER in written(LineFormatter(discreet=False), logging.WARNING, "It broke: %s", error)
    for error in (OSError("refused"), OperationalError("database is locked")):
        assert str(error) in written(LineFormatter(), logging.WARNING, "It waits: %s", error)


def test_loops_of_causes_end(written):
    first, second = raised(ValueError("a")), raised(ValueError("b"))
    first.__cause__, second.__cause__ = second, first
    assert written(LineFormatter(), logging.ERROR, "x", exc_info=first).count("ValueError") == 2


def test_libraries_that_repeat_an_exception_in_their_message_are_cut_short():
    record = logging.LogRecord(
        "asyncio",
        logging.ERROR,
        "",
        1,
        f"Task exception was never retrieved\nfuture: <KeyError('{MARKER}')>",
        (),
        None,
    )
    assert MARKER not in LineFormatter().format(record)
    record.msg = f"Exception in callback Reply._done(<Task finished result='{MARKER}'>) at reply.py:7"
    assert "Exception in callback Reply._done(...) at reply.py:7" in LineFormatter().format(record)
    data = {
        "name": "workers.tasks.x",
        "id": "1",
        "description": "raised unexpected",
        "exc": f"ValueError('{MARKER}')",
    }
    record = logging.LogRecord(
        "celery.app.trace",
        logging.ERROR,
        "",
        1,
        "Task %(name)s[%(id)s] %(description)s: %(exc)s",
        (data,),
        None,
    )
    record.data = data
    assert MARKER in record.getMessage()
    assert LineFormatter().format(record).endswith("Task workers.tasks.x[1] raised unexpected")


# --- What is known where ------------------------------------------------------------------------


async def test_a_task_knows_what_whoever_began_it_knew_and_keeps_what_it_learns_to_itself():
    async def work():
        context.note(turn=1)
        return dict(context.ids())

    with context.about(session="ses_1"):
        known = await asyncio.create_task(work())
        assert known == {"session": "ses_1", "turn": 1}
        assert context.ids() == {"session": "ses_1"}
    assert "session" not in context.ids()


async def test_what_outlives_a_session_knows_nothing_of_it():
    async def work():
        return dict(context.ids())

    with context.about(session="ses_1"):
        assert await asyncio.create_task(work(), context=context.blank()) == {}
        assert await asyncio.create_task(work(), context=context.of(turn=2)) == {
            "session": "ses_1",
            "turn": 2,
        }


def test_threads_are_told():
    known = []
    with context.about(session="ses_1"):
        there = [
            threading.Thread(target=context.carried(lambda: known.append(dict(context.ids())))),
            threading.Thread(target=lambda: known.append(dict(context.ids()))),
        ]
        for thread in there:
            thread.start()
            thread.join()
    assert known == [{"session": "ses_1"}, {}]


# --- Processes -----------------------------------------------------------------------------------


def test_what_nobody_caught_is_a_line_like_all_others():
    code = f"""
import sys, threading
from workers import logs
logs.configure("INFO", form="json", discreet=True, process="speech")
def broken(): raise ValueError("{MARKER}")
for target in (broken, sys.exit):
    thread = threading.Thread(target=target, name="mouth")
    thread.start(); thread.join()
import warnings; warnings.warn("old")
broken()
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, check=False, capture_output=True, text=True, timeout=240)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["CRITICAL", "WARNING", "CRITICAL"]
    assert "mouth" in lines[0]["message"]
    assert all("ValueError" in lines[n]["exception"] for n in (0, 2))
    assert done.returncode == 1
    assert MARKER not in done.stderr
