"""Requests to addresses that callers chose."""

import datetime as dt
import io
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from project.api import addresses, net
from project.errors import InvalidInput, Unavailable
from tests.support.servers import http_server, reply

INSIDE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1",
    "224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1", "168.63.129.16", "192.0.2.1",
    "203.0.113.9",
    "::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254",
    "ff02::1", "2001:db8::1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808",
           "::ffff:8.8.8.8", "2002:808:808::1"]  # fmt: skip


@pytest.fixture
def server():
    with http_server() as running:
        yield running


@pytest.fixture
def loopback_allowed(settings):
    settings.EGRESS_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.mark.parametrize("address", INSIDE)
def test_inner_addresses_are_refused(address):
    assert not addresses.may_reach(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_allowed(address):
    assert addresses.may_reach(address)


def test_a_closed_network_opens_what_it_needs_and_no_more(settings):
    settings.EGRESS_ALLOWED_NETWORKS = ["10.1.0.0/16", "fd12::/16"]
    assert addresses.may_reach("10.1.2.3")
    assert addresses.may_reach("::ffff:10.1.2.3")
    assert addresses.may_reach("fd12::9")
    assert not addresses.may_reach("10.2.0.1")
    assert not addresses.may_reach("127.0.0.1")


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://example.org/x", "file:///etc/passwd", "http://", "http:///x", "gopher://x",
     "http://user:secret@example.org/", "http://user@example.org/", "javascript:alert(1)", "http://[::1",
     "http://exa mple.org/", "http://example.org:99999/", "https://example.org/" + "x" * 2000],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_refused(dns, url):
    dns["example.org"] = ["93.184.216.34"]
    with pytest.raises(InvalidInput) as caught:
        net.check_url(url, pointer="/audio_url")
    assert (caught.value.code, caught.value.pointer) == ("invalid_url", "/audio_url")


def test_numbers_in_disguise_are_resolved_before_they_are_judged():
    for host in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"):
        with pytest.raises(InvalidInput) as caught:
            net.check_url(f"http://{host}/")
        assert caught.value.code in ("address_not_allowed", "invalid_url"), host


def test_a_name_that_leads_inside_is_refused(dns):
    dns["sneaky.example"] = ["169.254.169.254"]
    with pytest.raises(InvalidInput) as caught:
        net.check_url("https://sneaky.example/latest/meta-data")
    assert caught.value.code == "address_not_allowed"


def test_one_inner_address_spoils_a_name(dns):
    dns["mixed.example"] = ["93.184.216.34", "10.0.0.1"]
    with pytest.raises(InvalidInput):
        net.check_url("https://mixed.example/")


def test_a_name_that_nobody_knows_is_said_to_be_unknown(dns):
    with pytest.raises(InvalidInput) as caught:
        net.check_url("https://nowhere.example/", pointer="/url")
    assert (caught.value.code, caught.value.pointer) == ("address_not_found", "/url")


def test_a_second_answer_of_the_dns_changes_nothing(monkeypatch, server):
    """Rebinding: outside when the URL was accepted, inside when it is called."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    monkeypatch.setattr(addresses, "resolve", lambda host, port: next(answers))
    url = net.check_url(f"http://rebind.example:{server.port}/")
    with pytest.raises(InvalidInput) as caught:
        net.safe_get(url, max_bytes=100)
    assert caught.value.code == "address_not_allowed"
    assert server.seen == []


def test_the_connection_goes_to_the_address_that_was_checked(dns, server, loopback_allowed):
    dns["audio.example"] = ["127.0.0.1"]
    server.answer = reply(200, b"sound", Content_Type="audio/wav")
    answer = net.safe_get(f"http://audio.example:{server.port}/a.wav", max_bytes=100)
    assert (answer.body, answer.headers["content-type"]) == (b"sound", "audio/wav")
    assert server.seen[0].headers["Host"] == f"audio.example:{server.port}"


def test_a_redirect_to_the_inside_is_refused(dns, server, settings):
    settings.EGRESS_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    dns["outside.example"] = ["127.0.0.1"]
    server.answer = reply(302, Location="http://169.254.169.254/latest/meta-data")
    with pytest.raises(InvalidInput) as caught:
        net.safe_get(f"http://outside.example:{server.port}/", max_bytes=100)
    assert caught.value.code == "address_not_allowed"


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://user:pw@127.0.0.1/", "ftp://127.0.0.1/"])
def test_a_redirect_to_no_web_address_is_refused(server, loopback_allowed, location):
    server.answer = reply(302, Location=location)
    with pytest.raises(InvalidInput) as caught:
        net.safe_get(f"http://127.0.0.1:{server.port}/", max_bytes=100)
    assert caught.value.code == "invalid_url"


def test_three_redirects_are_followed_and_no_fourth(server, loopback_allowed):
    def hop(left):
        def write(handler, seen):
            n = int(seen.path.strip("/"))
            (reply(200, b"there") if n == 0 else reply(307, Location=f"/{n - 1}"))(handler, seen)

        return write

    server.answer = hop(3)
    base = f"http://127.0.0.1:{server.port}"
    assert net.safe_get(f"{base}/3", max_bytes=100).body == b"there"
    with pytest.raises(InvalidInput) as caught:
        net.safe_get(f"{base}/4", max_bytes=100)
    assert caught.value.code == "download_failed"


def test_too_large_is_refused_by_its_word_and_by_its_size(server, loopback_allowed):
    def endless(handler, seen):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"x" * 1000)

    url = f"http://127.0.0.1:{server.port}/"
    for answer in (reply(200, b"x" * 101), endless):
        server.answer = answer
        sink = io.BytesIO()
        with pytest.raises(InvalidInput) as caught:
            net.safe_download(url, sink, max_bytes=100)
        assert (caught.value.code, caught.value.status) == ("download_too_large", 413)
        assert len(sink.getvalue()) <= 100


@pytest.mark.parametrize("status", [204, 403, 404, 500])
def test_an_answer_that_is_no_file_is_a_failed_download(server, loopback_allowed, status):
    server.answer = reply(status)
    with pytest.raises(InvalidInput) as caught:
        net.safe_get(f"http://127.0.0.1:{server.port}/", max_bytes=100)
    assert caught.value.code == "download_failed"


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_drips_meets_the_deadline(server, loopback_allowed, part):
    stop = threading.Event()

    def drip(handler, seen):
        if part == "body":
            handler.send_response(200)
            handler.end_headers()
        for _ in range(600):
            if stop.wait(0.05):
                return
            handler.wfile.write(b"x")
            handler.wfile.flush()

    server.answer = drip
    try:
        with pytest.raises(Unavailable) as caught:
            net.safe_get(f"http://127.0.0.1:{server.port}/", max_bytes=10_000, timeout=0.5)
    finally:
        stop.set()
    assert "too long" in str(caught.value)


def test_a_closed_port_is_unavailable(loopback_allowed):
    with pytest.raises(Unavailable) as caught:
        net.safe_get("http://127.0.0.1:1/", max_bytes=10)
    assert caught.value.code == "download_failed"


def test_a_post_follows_no_redirect_and_reads_little(server, loopback_allowed):
    server.answer = reply(302, b"y" * 5000, Location="http://169.254.169.254/")
    answer = net.safe_post(f"http://127.0.0.1:{server.port}/hook", content=b"{}", headers={"X-A": "b"})
    assert (answer.status, len(answer.body)) == (302, net.SNIPPET_BYTES)
    assert [(seen.method, seen.body, seen.headers["X-A"]) for seen in server.seen] == [("POST", b"{}", "b")]


def test_a_proxy_of_the_environment_is_not_used(server, loopback_allowed, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert net.safe_get(f"http://127.0.0.1:{server.port}/", max_bytes=10).status == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for hooks.example that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls_names_and_verifies_the_host_though_the_address_is_pinned(
    certificate, dns, monkeypatch, loopback_allowed
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names = []
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    dns |= {"hooks.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    with http_server(context) as server:
        with pytest.raises(Unavailable):  # nobody vouches for it yet
            net.safe_post(f"https://hooks.example:{server.port}/", content=b"", headers={})
        monkeypatch.setattr(net, "tls_context", lambda: trusting)
        assert net.safe_post(f"https://hooks.example:{server.port}/", content=b"", headers={}).status == 200
        assert names[-1] == "hooks.example"
        with pytest.raises(Unavailable):  # the right machine, the wrong name
            net.safe_post(f"https://other.example:{server.port}/", content=b"", headers={})
        assert len(server.seen) == 1
