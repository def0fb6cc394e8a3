"""`manage.py bench` finds its subcommands, and says what is wrong in a sentence."""

import json
import os
import signal
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from project.bench import commands, target
from project.bench.errors import BenchError
from project.bench.management.commands import bench
from project.bench.writers import write


def ended(*arguments):
    with pytest.raises(SystemExit) as caught:
        call_command("bench", *arguments)
    return caught.value.code


def test_every_subcommand_can_be_imported_and_says_what_it_does():
    found = bench.found()
    assert {"live", "clip", "compare", "report"} <= set(found)
    for name, module in found.items():
        assert not isinstance(module, ImportError), f"{name}: {module}"
        assert module.__doc__
        assert callable(module.add_arguments)
        assert callable(module.run)


def test_a_subcommand_runs_and_its_status_is_the_exit_status(result, tmp_path):
    write(result, tmp_path / "one")
    assert ended("report", str(tmp_path / "one"), "--out", str(tmp_path / "joined")) == 1
    result.checks.clear()
    write(result, tmp_path / "one")
    assert ended("report", str(tmp_path / "one"), "--out", str(tmp_path / "joined")) == 0
    assert (tmp_path / "joined" / "report.md").is_file()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CommandError, match="no-such"):
        call_command("bench", "clip", "--config", "no-such")


def test_a_field_that_nobody_knows_is_named_with_its_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nsubjects: [{model: mock}]\nclip: {warn: 3}\n")
    with pytest.raises(CommandError, match=r"mine\.yaml: clip\.warn: nobody knows"):
        call_command("bench", "clip", "--config", str(file))


def test_a_package_that_is_missing_makes_its_own_command_unusable_only(tmp_path, monkeypatch, result):
    (tmp_path / "broken_one.py").write_text('"""Breaks."""\n\nimport no_such_package_anywhere\n')
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    with pytest.raises(CommandError, match=r"no_such_package_anywhere.*make bench"):
        call_command("bench", "broken_one")
    write(result, tmp_path / "one")
    assert ended("report", str(tmp_path / "one"), "--out", str(tmp_path / "joined")) == 1


def test_a_running_service_is_found_by_its_folder(tmp_path):
    told = {"url": "http://127.0.0.1:1234", "api_key": "key", "admin_user": "a", "admin_password": "b"}
    (tmp_path / "connection.json").write_text(json.dumps(told))
    (tmp_path / "run").mkdir()
    parts = {"web1": {"pid": 7}, "migrate": {"pid": None}}
    (tmp_path / "run" / "status.json").write_text(json.dumps({"parts": parts}))
    found = target.attached(str(tmp_path))
    assert (found.base_url, found.api_key, found.pids()) == ("http://127.0.0.1:1234", "key", {"web1": 7})


def test_a_service_elsewhere_needs_a_key(monkeypatch):
    monkeypatch.delenv("PARLEY_API_KEY", raising=False)
    with pytest.raises(BenchError, match="A key is needed"):
        target.attached("https://parley.example.com/")
    monkeypatch.setenv("PARLEY_API_KEY", "from the shell")
    found = target.attached("https://parley.example.com/")
    assert (found.base_url, found.api_key, found.pids()) == (
        "https://parley.example.com",
        "from the shell",
        {},
    )


def test_where_nothing_runs_it_says_so(tmp_path):
    with pytest.raises(BenchError, match="make up"):
        target.attached(str(tmp_path))


ENDLESS = """
import time
from project.bench.providers import Providers

def add_arguments(parser):
    pass

def run(options):
    with Providers() as stub:
        print(stub._process.pid, flush=True)
        time.sleep(60)
"""


def test_a_run_that_is_asked_to_end_leaves_no_process_behind(tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    program = (
        "import sys; from project.bench import commands; commands.__path__.append(sys.argv.pop(1));"
        "from django.core.management import execute_from_command_line as run;"
        "run(['manage.py', *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", program, str(tmp_path), "bench", "endless"]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    with subprocess.Popen(command, cwd=target.ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            stub = int(process.stdout.readline())
            process.terminate()
            assert process.wait(60) == 128 + signal.SIGTERM
        finally:
            process.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(stub, signal.SIGKILL)
