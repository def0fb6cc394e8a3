"""The dashboard and the alerts ask for figures that exist, with labels that these have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from generation import figures as clip_figures
from project.health import urls as health_urls
from project.metrics.registry import registry
from project.webhooks import figures as webhook_figures
from sessions import figures as session_figures
from tests.support.valkey import valkey_server
from workers import presence
from workers.speechd.figures import Figures

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "configs" / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
BOARD = json.loads((DEPLOY / "grafana" / "parley.json").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
ASKED = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())
]
# Prometheus' own, and labels that it adds.
OWN = {"up": {"job"}}
ADDED = {"job", "instance"}
NAME = re.compile(r"(?<![\w$])((?:parley|process|up)\w*)(?:\{([^}]*)\})?")
BY = re.compile(r"\b(?:by|on) \(([^)]*)\)")
MATCH = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


@pytest.fixture(scope="module")
def valkey() -> Iterable[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def known(valkey: str, settings: Any, transactional_db: None) -> dict[str, set[str]]:
    """The labels of every sample, by its name."""
    settings.REDIS_URL = settings.CELERY_BROKER_URL = valkey
    presence.announce("somebody@here", {"live.mock": 2, "batch.mock": 1})
    families: list[Metric] = [
        *clip_figures.queues(),
        *clip_figures.unfinished(),
        *session_figures.unfinished(),
        *webhook_figures.waiting(),
    ]
    found: dict[str, set[str]] = {family.name: _labels(family) for family in families}
    for one in (registry, Figures().registry):
        for collector, names in one._collector_to_names.items():
            labels = set(getattr(collector, "_labelnames", ()))
            # Nothing is called like a family of several parts itself.
            families = {
                name.removesuffix(part) for name in names for part in ("_bucket", "_total") if part in name
            }
            for name in set(names) - families:
                found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    # Without clips there are no samples to read labels from.
    return found | OWN | {"parley_clips": {"status", "stage"}}


def _labels(family: Metric) -> set[str]:
    return set().union(*(sample.labels for sample in family.samples))


def faults(query: str, known: dict[str, set[str]]) -> list[str]:
    """What is wrong with a query; nothing where all is well."""
    found, labels = [], set(ADDED)
    for name, matchers in NAME.findall(BY.sub("", query)):
        if name not in known:
            found.append(f"no such figure: {name}")
            continue
        labels |= known[name]
        strange = set(MATCH.findall(matchers)) - known[name] - ADDED
        found += [f"{name} has no label {label}" for label in sorted(strange)]
    for group in BY.findall(query):
        wanted = {label.strip() for label in group.split(",") if label.strip()}
        found += [f"nothing in it has a label {label}" for label in sorted(wanted - labels)]
    return found


def test_dashboard_and_alerts_ask_for_what_there_is(known: dict[str, set[str]]) -> None:
    assert {query: wrong for query in ASKED if (wrong := faults(query, known))} == {}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("sum(rate(parley_nothing_total[5m]))", ["no such figure: parley_nothing_total"]),
        ('sum(parley_workers{model="x"})', ["parley_workers has no label model"]),
        ("sum by (model) (parley_workers)", ["nothing in it has a label model"]),
        ("sum(parley_turn_stage_seconds)", ["no such figure: parley_turn_stage_seconds"]),
    ],
)
def test_what_there_is_not_would_be_found(known: dict[str, set[str]], query: str, wrong: list[str]) -> None:
    assert faults(query, known) == wrong


def test_every_family_of_instruments_is_seen_by_somebody(known: dict[str, set[str]]) -> None:
    """What nobody looks at need not be counted."""
    unseen = {
        "process_start_time_seconds",  # Prometheus' own rule for restarts
        "parley_clip_seconds",
        "parley_provider_first_seconds",
        *("parley_live_joined", "parley_live_hosted", "parley_live_taken_over", "parley_live_ended"),
        *("parley_live_relayed", "parley_live_interrupts", "parley_live_vp8", "parley_live_tasks"),
    }
    text = " ".join(ASKED)
    families = {family.name for family in registry.collect()}
    assert {name for name in families if name not in text} == unseen - {"parley_clip_seconds"}


def test_every_alert_says_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert len(rule["annotations"]["summary"]) > 10
        assert len(rule["annotations"]["runbook"]) > 20


def test_labels_in_the_words_of_alerts_are_those_of_their_queries() -> None:
    for rule in RULES:
        words = " ".join(rule["annotations"].values())
        for label in re.findall(r"\$labels\.(\w+)", words):
            assert label in rule["expr"] or label in ADDED or label == "process", rule["alert"]


def _expr(alert: str) -> str:
    return next(str(rule["expr"]) for rule in RULES if rule["alert"] == alert)


def test_a_worker_that_ended_is_missed_though_nobody_is_asked_for_it() -> None:
    query = _expr("ParleyWorkersFewer")
    assert re.search(r"count\(up\{job=\"parley-worker\"\}\)\[1h:", query)
    assert "or vector(0)" in query  # all of them


def test_pages_that_are_asked_all_the_time_wake_nobody() -> None:
    asked = {page.name for page in health_urls.urlpatterns}
    for found in re.findall(r"parley_http_requests_total\{([^}]*)\}", _expr("ParleyServerErrors")):
        left_out = re.search(r'route!~"([^"]*)"', found)
        assert left_out
        assert set(left_out[1].split("|")) == asked


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    identities = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(identities)) == len(identities)


def test_prometheus_asks_the_services_of_compose_on_their_ports() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        assert job["authorization"]["credentials_file"].startswith("/run/secrets/")
        for sought in job["dns_sd_configs"]:
            for name in sought["names"]:
                told = " ".join(map(str, compose[name].get("command", ())))
                own = compose[name]["environment"]["METRICS_PORT"]
                assert sought["port"] == own or f"--port {sought['port']}" in told
    for name in config["rule_files"]:
        assert (DEPLOY / name).is_file()
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    assert {job for rule in RULES for job in re.findall(r'job="([^"]+)"', rule["expr"])} <= jobs


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(DEPLOY / "alerts.yml")], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
