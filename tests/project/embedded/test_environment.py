"""Who listens where, for every way of being asked."""

import socket
from pathlib import Path

import pytest
from cryptography import x509

from project.embedded import certificates, stack, valkey
from project.embedded.environment import Plan, plan
from project.embedded.errors import StackError
from project.embedded.home import Home
from project.embedded.parts import Part
from project.embedded.ports import Ports


def _plan(home: Home, ports: Ports, **given: str) -> Plan:
    return plan(home, ports, {"PORT": "0", **given})


def _names(made: Plan) -> list[str]:
    return [part.name for part in stack.parts(made)]


def test_by_default_everything_is_ours_and_on_loopback(home: Home, ports: Ports) -> None:
    made = _plan(home, ports, RENDER_WORKERS="2")
    assert _names(made) == [
        *(
            "valkey",
            "storage",
            "speech",
            "migrate",
            "prepare",
            "web1",
            "web2",
            "live1",
            "live2",
            "render1",
            "render2",
            "general",
            "avatars",
            "scheduler",
        )
    ]
    assert made.public_url == f"http://127.0.0.1:{made.port}"
    assert made.env["S3_ENDPOINT_URL"] == made.env["S3_PUBLIC_ENDPOINT_URL"]
    assert made.env["S3_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert "DATABASE_URL" not in made.env


def test_workers_tell_each_other_nothing_that_nobody_hears(home: Home, ports: Ports) -> None:
    commands = [part.command for part in stack.parts(_plan(home, ports)) if "worker" in part.command]
    assert len(commands) >= 4
    for command in commands:
        assert {"--without-mingle", "--without-gossip", "--without-heartbeat"} <= set(command)


@pytest.mark.parametrize(
    ("setting", "value", "part"),
    [
        ("REDIS_URL", "redis://broker:6379/0", "valkey"),
        ("REDIS_URL_FILE", "/run/secrets/redis", "valkey"),
        ("S3_ENDPOINT_URL", "https://s3.example.org", "storage"),
        ("SPEECH_URL", "http://speech:8600", "speech"),
    ],
)
def test_a_setting_replaces_a_part(home: Home, ports: Ports, setting: str, value: str, part: str) -> None:
    made = _plan(home, ports, **{setting: value})
    assert part not in _names(made)
    assert made.env[setting] == value
    assert setting.removesuffix("_FILE") == setting or setting.removesuffix("_FILE") not in made.env


def test_given_values_are_kept(home: Home, ports: Ports) -> None:
    given = {"SECRET_KEY": "mine", "METRICS_TOKEN": "mine too", "DATABASE_URL": "postgres://db/parley"}
    made = _plan(home, ports, **given)
    assert {name: made.env[name] for name in given} == given


def test_one_process_alone_serves_figures_on_a_port_of_their_own(home: Home, ports: Ports) -> None:
    made = _plan(home, ports, METRICS_PORT="9464")
    seen = {part.name: {**made.env, **part.env}.get("METRICS_PORT") for part in stack.parts(made)}
    assert {name for name, port in seen.items() if port is not None} == {"web1"}
    assert seen["web1"] == "9464"


def test_secrets_are_the_same_at_the_next_start(home: Home, ports: Ports) -> None:
    first = _plan(home, ports).env
    again = _plan(home, ports).env
    assert first == again
    assert len(first["SECRET_KEY"]) >= 32


def test_a_command_line_holds_no_secret(home: Home, ports: Ports) -> None:
    made = _plan(home, ports)
    words = " ".join(word for part in stack.parts(made) for word in part.command)
    assert made.secrets["redis_password"]
    for name, secret in made.secrets.items():
        assert secret not in words, name


def test_the_parts_between_themselves_stay_on_loopback(home: Home, ports: Ports) -> None:
    made = _plan(home, ports, HOST="0.0.0.0")
    parts = {part.name: part.command for part in stack.parts(made)}
    assert "-ip.bind=127.0.0.1" in parts["storage"]
    assert "bind 127.0.0.1" in (home.path / "valkey/valkey.conf").read_text().splitlines()
    assert parts["speech"][parts["speech"].index("--host") + 1] == "127.0.0.1"


def test_opened_to_the_network_pages_and_media_have_an_address_others_can_use(
    home: Home, ports: Ports
) -> None:
    made = _plan(home, ports, HOST="0.0.0.0", PUBLIC_URL="http://studio.example:8000")
    assert made.s3 is not None
    assert made.s3.host == "0.0.0.0"
    assert made.env["S3_ENDPOINT_URL"] == f"http://127.0.0.1:{made.s3.port}"
    assert made.env["S3_PUBLIC_ENDPOINT_URL"] == f"http://studio.example:{made.s3.port}"
    assert socket.gethostname() in made.env["ALLOWED_HOSTS"]


def test_the_media_port_is_the_one_that_was_made_public(home: Home, ports: Ports) -> None:
    free = ports.get("probe")
    ports.release()
    made = _plan(home, ports, HOST="0.0.0.0", S3_PUBLIC_ENDPOINT_URL=f"http://192.0.2.7:{free}")
    assert made.s3 is not None
    assert made.s3.port == free


def test_https_comes_with_a_certificate_that_is_kept(home: Home, ports: Ports) -> None:
    made = _plan(home, ports, TLS="1")
    assert made.public_url.startswith("https://")
    assert made.certificate is not None
    first = made.certificate[0].read_bytes()
    names = x509.load_pem_x509_certificate(first).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert {str(name.value) for name in names.value} == {"localhost", "127.0.0.1"}
    assert _plan(home, ports, TLS="1").certificate == made.certificate
    assert made.certificate[0].read_bytes() == first
    web = next(part for part in stack.parts(made) if part.name == "web1")
    assert any(word.startswith("tlsfd:") for word in web.command)


def test_a_new_name_gets_a_new_certificate(home: Home) -> None:
    folder = home.folder("tls")
    first = certificates.self_signed(home, folder, ["localhost"])[0].read_bytes()
    second = certificates.self_signed(home, folder, ["localhost", "studio.example"])[0].read_bytes()
    assert first != second
    assert second == certificates.self_signed(home, folder, ["studio.example", "localhost"])[0].read_bytes()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("PORT", "70000"), ("TLS", "yes"), ("RENDER_WORKERS", "-1"), ("LIVE_WORKERS", "two")],
)
def test_nonsense_is_refused_by_name(home: Home, ports: Ports, name: str, value: str) -> None:
    with pytest.raises(StackError, match=rf"{name} is '{value}'"):
        plan(home, ports, {"PORT": "0", name: value})


def test_a_home_too_deep_for_sockets_is_refused(home: Home, ports: Ports) -> None:
    made = _plan(home, ports)
    home.run = home.path / ("deep" * 40)
    with pytest.raises(StackError, match="too long"):
        stack.parts(made)


def test_damaged_data_of_the_broker_is_moved_not_deleted(home: Home) -> None:
    assert valkey.set_aside(home) is None
    folder = home.folder("valkey/appendonlydir")
    (folder / "appendonly.aof.1.incr.aof").write_text("broken")
    aside = valkey.set_aside(home)
    assert aside is not None
    assert (aside / "appendonly.aof.1.incr.aof").read_text() == "broken"
    assert not folder.exists()


def test_a_sensevoice_model_is_given_to_the_sidecar_and_told_to_the_rest(
    home: Home, ports: Ports, tmp_path: Path
) -> None:
    made = _plan(home, ports, SENSEVOICE_FOLDER=str(tmp_path))
    (speech,) = [part for part in stack.parts(made) if part.name == "speech"]
    assert speech.command[speech.command.index("--sensevoice") + 1] == str(tmp_path)
    assert made.env["SENSEVOICE_BASE_URL"] == made.env["SPEECH_URL"]
    assert made.env["SENSEVOICE_API_KEY"] == made.env["SPEECH_API_KEY"]


def test_without_such_a_model_nobody_is_sent_to_it(home: Home, ports: Ports) -> None:
    assert "SENSEVOICE_BASE_URL" not in _plan(home, ports).env


def test_a_model_that_is_not_there_is_named_at_once(home: Home, ports: Ports) -> None:
    with pytest.raises(StackError, match="SENSEVOICE_FOLDER"):
        _plan(home, ports, SENSEVOICE_FOLDER="/nonexistent/model")


def _model_workers(home: Home, ports: Ports, **given: str) -> list[tuple[str, str, str]]:
    made = [part for part in stack.parts(_plan(home, ports, **given)) if part.name.startswith("models")]

    def told(part: Part, option: str) -> str:
        return part.command[part.command.index(option) + 1]

    return [(part.name, told(part, "--device"), told(part, "--models")) for part in made]


def test_models_that_are_named_get_a_worker_for_each_device(home: Home, ports: Ports) -> None:
    assert _model_workers(home, ports) == []
    assert _model_workers(home, ports, RENDER_MODELS="wav2lip, musetalk") == [
        ("models1", "cpu", "wav2lip,musetalk")
    ]
    given = {"RENDER_MODELS": "wav2lip", "RENDER_DEVICE": "cuda:0,cuda:1"}
    assert _model_workers(home, ports, **given) == [
        ("models1", "cuda:0", "wav2lip"),
        ("models2", "cuda:1", "wav2lip"),
    ]


def test_models_of_configured_servers_are_served_without_being_named(
    home: Home, ports: Ports, tmp_path: Path
) -> None:
    where = tmp_path / "url"
    where.write_text("ws://flash.example:8765\n")
    assert _model_workers(home, ports, FLASHTALK_URL_FILE=str(where)) == [("models1", "cpu", "flashtalk")]
    given = {"RENDER_MODELS": "wav2lip", "RENDER_DEVICE": "cuda:0,cuda:1"}
    assert _model_workers(home, ports, FLASHTALK_URL="ws://flash.example:8765", **given) == [
        ("models1", "cuda:0", "wav2lip,flashtalk"),
        ("models2", "cuda:1", "wav2lip"),
    ]


def test_a_server_that_no_model_was_told_to_use_starts_nothing(home: Home, ports: Ports) -> None:
    assert _model_workers(home, ports, SOMEBODYS_URL="http://other.example") == []


def test_a_wrong_address_of_a_model_server_stops_the_stack_by_name(home: Home, ports: Ports) -> None:
    with pytest.raises(StackError, match="FLASHTALK_URL"):
        _plan(home, ports, FLASHTALK_URL="ftp://flash.example")


def test_whoever_steps_back_may_take_longer_to_start(home: Home, ports: Ports) -> None:
    parts = {part.name: part for part in stack.parts(_plan(home, ports))}
    assert parts["live1"].start_seconds == parts["web1"].start_seconds == 180
    assert parts["render1"].start_seconds == parts["avatars"].start_seconds == 300
