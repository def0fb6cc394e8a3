"""The compose file and the Dockerfile say what the repository really has."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from project.celery import queues as all_queues
from workers.profiles import model_ids

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = (
    "speech",
    "migrate",
    "web",
    "live",
    "render",
    "remote-models",
    "models",
    "general",
    "avatars",
    "scheduler",
)
CPU_MODELS = ("viseme", "mock")


def words(service: str) -> list[str]:
    command = COMPOSE["services"][service].get("command", [])
    return shlex.split(command) if isinstance(command, str) else [str(part) for part in command]


def test_every_dependency_is_a_service_with_the_condition_it_can_meet():
    services = COMPOSE["services"]
    for service in services.values():
        for name, wish in service.get("depends_on", {}).items():
            assert name in services
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in services[name]


def test_every_queue_has_exactly_one_kind_of_worker():
    served = [part for name in ("live", "render", "general", "avatars") for part in words(name)]
    queues = [q for i, part in enumerate(served) if part == "-Q" for q in served[i + 1].split(",")]
    # Those of the other models belong to `render_worker`, which is told models instead of queues.
    mine = [q for q in all_queues() if "." not in q or q.partition(".")[2] in CPU_MODELS]
    assert sorted(queues) == sorted(mine)


def test_workers_tell_each_other_nothing_that_nobody_hears():
    for name in ("live", "render", "general", "avatars"):
        assert {"--without-mingle", "--without-gossip", "--without-heartbeat"} <= set(words(name)), name


def test_the_models_of_render_workers_exist():
    for service in ("remote-models", "models"):
        said = words(service)
        default = re.fullmatch(r"\$\{\w+:-(.+)\}", said[said.index("--models") + 1])
        assert default
        assert set(default[1].split(",")) <= set(model_ids())


def test_every_module_and_management_command_exists():
    text = " ".join(" ".join(words(name)) for name in OURS)
    for module in re.findall(r"python -m (\S+)", text):
        assert importlib.util.find_spec(module), module
    for command in re.findall(r"manage\.py (\S+)", text):
        if command != "migrate":
            assert list(ROOT.glob(f"*/management/commands/{command}.py")) + list(
                ROOT.glob(f"*/*/management/commands/{command}.py")
            ), command


@pytest.mark.parametrize("target", ["web", "worker", "models"])
def test_the_dockerfile_has_the_targets_that_compose_builds(target):
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f" AS {target}\n" in dockerfile
    for path in re.findall(r"-r (requirements/\S+)", dockerfile):
        assert (ROOT / path).is_file()


def test_a_container_that_starts_again_has_no_temporary_files(tmp_path):
    dockerfile = (ROOT / "Dockerfile").read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", dockerfile, re.MULTILINE)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "words").touch()
    command = ["/bin/sh", "-c", 'stat -c %a "$TMPDIR"; ls -A "$TMPDIR"; echo "$1"', "sh", "two words"]
    done = subprocess.run(
        [*json.loads(entry), *command],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines() == ["700", "two words"]
    assert re.search(r"\bTMPDIR=/tmp/\S+", dockerfile)


def test_no_secret_has_a_default_value():
    text = (ROOT / "docker-compose.yml").read_text()
    for name in (
        "SECRET_KEY",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "S3_SECRET_ACCESS_KEY",
        "SPEECH_API_KEY",
    ):
        assert f"${{{name}:?}}" in text
        assert f"${{{name}:-" not in text


def test_logs_and_traces_are_set_in_the_one_file_of_settings():
    for name in ("LOG_FORMAT", "LOG_LEVEL", "LOG_SPOKEN_TEXT", "OTEL_SERVICE_NAME"):
        for service in OURS:
            assert COMPOSE["services"][service]["environment"][name].startswith(f"${{{name}:-"), service
    for service in OURS:
        if "celery" in words(service):  # without it Celery tells warnings alone
            said = words(service)
            assert said[said.index("-l") + 1].startswith("${LOG_LEVEL:-")


@pytest.mark.parametrize(("given", "told"), [("0", False), ("1", True), ("True", True), ("", False)])
def test_the_speech_service_tells_what_is_spoken_where_it_may(tmp_path, given, told):
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python").chmod(0o755)
    script = words("speech")[-1].replace("$$", "$").replace("/tmp/", f"{tmp_path}/")
    known = {"SPEECH_API_KEY": "key", "LOG_FORMAT": "json", "LOG_SPOKEN_TEXT": given}
    said = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:{os.defpath}", **known},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert ("--log-spoken-text" in said) == told
    assert said[said.index("--log-format") + 1] == "json"


def test_locks_name_no_address():
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"\w+://", lock.read_text()), lock.name
