"""Nonsense in the environment is refused by name, when the service starts."""

import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from project import env


@pytest.mark.parametrize(("raw", "ports"), [("", None), ("40000-40099", (40000, 40099)), ("7-7", (7, 7))])
def test_a_range_of_ports(monkeypatch, raw, ports) -> None:
    monkeypatch.setenv("RTC_PORTS", raw)
    assert env.env_range("RTC_PORTS") == ports


@pytest.mark.parametrize("raw", ["40000", "40099-40000", "0-10", "1-70000", "a-b", "-5-9", "1-2-3"])
def test_what_is_no_range_is_refused(monkeypatch, raw) -> None:
    monkeypatch.setenv("RTC_PORTS", raw)
    with pytest.raises(ImproperlyConfigured, match="RTC_PORTS"):
        env.env_range("RTC_PORTS")


def test_one_of_a_few_words(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("LIVE_FAILURE", "written")
    assert env.env_str("LIVE_FAILURE", "spoken", choices=("spoken", "written")) == "written"
    monkeypatch.setenv("LIVE_FAILURE", "sung")
    with pytest.raises(ImproperlyConfigured, match="use spoken or written"):
        env.env_str("LIVE_FAILURE", "spoken", choices=("spoken", "written"))
    (tmp_path / "word").write_text("spoken\n")
    monkeypatch.setenv("LIVE_FAILURE_FILE", str(tmp_path / "word"))
    assert env.env_str("LIVE_FAILURE", choices=("spoken", "written")) == "spoken"


@pytest.mark.parametrize(
    ("name", "value"),
    [("TURN_URLS", "turn:turn.example.com"), ("RECORDING_LAYOUT", "quadro"), ("LIVE_MAX_SESSIONS", "0")],
)
def test_the_service_does_not_start_with_nonsense(monkeypatch, name, value) -> None:
    monkeypatch.setenv(name, value)
    started = subprocess.run(
        [sys.executable, "-c", "import project.settings"], check=False, capture_output=True, text=True
    )
    assert started.returncode == 1
    assert name in started.stderr.splitlines()[-1]


def test_a_key_is_read_without_what_was_pasted_with_it(monkeypatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", " sk-4711\r\n")
    assert env.env_key("ACME_API_KEY") == "sk-4711"


@pytest.mark.parametrize("value", ["sk-47\n11", "sk-é11", "••••4711"])
def test_a_key_that_no_header_takes_is_refused_and_not_told(monkeypatch, value) -> None:
    monkeypatch.setenv("ACME_API_KEY", value)
    with pytest.raises(ImproperlyConfigured, match="ACME_API_KEY") as refused:
        env.env_key("ACME_API_KEY")
    assert "11" not in str(refused.value)


@pytest.mark.parametrize("raw", ["1.1", "-0.1", "half", "nan"])
def test_a_share_is_a_number_from_0_to_1(monkeypatch, raw) -> None:
    assert env.env_share("OTEL_TRACES_SAMPLER_ARG", 1.0) == 1.0
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    assert env.env_share("OTEL_TRACES_SAMPLER_ARG", 1.0) == 0.25
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", raw)
    with pytest.raises(ImproperlyConfigured, match="OTEL_TRACES_SAMPLER_ARG"):
        env.env_share("OTEL_TRACES_SAMPLER_ARG", 1.0)


def test_pairs_are_read_decoded_and_a_wrong_one_is_not_told(monkeypatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb=, x-team = blue")
    assert env.env_pairs("OTEL_EXPORTER_OTLP_HEADERS") == {"api-key": "a,b=", "x-team": "blue"}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "secret-4711")
    with pytest.raises(ImproperlyConfigured, match="OTEL_EXPORTER_OTLP_HEADERS") as refused:
        env.env_pairs("OTEL_EXPORTER_OTLP_HEADERS")
    assert "4711" not in str(refused.value)
