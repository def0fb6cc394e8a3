"""The compose file and the Dockerfile say what the repository really has."""

import importlib.util
import re
import shlex
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


def test_locks_name_no_address():
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"\w+://", lock.read_text()), lock.name
