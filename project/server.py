"""daphne with one more kind of endpoint: HTTPS on a socket that somebody else opened.

`python -m project.server -e 'tlsfd:fileno=5&certificate=...&key=...' project.asgi:application` is how
several web processes share one HTTPS port. Everything else is daphne's own command line.
"""

import socket
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import daphne.server  # installs the reactor: before anything else of Twisted
from daphne.cli import CommandLineInterface
from twisted.internet import ssl
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

KIND = "tlsfd:"


@implementer(IStreamServerEndpoint)
class TlsDescriptor:
    """Serves TLS on an inherited socket that already listens."""

    def __init__(self, reactor: Any, descriptor: int, certificate: Path, key: Path) -> None:
        with socket.socket(fileno=descriptor) as inherited:
            family = inherited.family
            inherited.detach()
        make: Any = AdoptedStreamServerEndpoint  # untyped, like most of Twisted
        self._tcp = make(reactor, descriptor, family)
        pair = key.read_bytes() + b"\n" + certificate.read_bytes()
        load: Any = ssl.PrivateCertificate.loadPEM
        self._options = load(pair).options()

    def listen(self, factory: Any) -> Any:
        return self._tcp.listen(TLSMemoryBIOFactory(self._options, False, factory))


def endpoint(reactor: Any, description: str) -> Any:
    """Make an endpoint from its description; others than ours are Twisted's."""
    if not description.startswith(KIND):
        standard: Any = serverFromString
        return standard(reactor, description)
    told = dict(parse_qsl(description.removeprefix(KIND), strict_parsing=True))
    return TlsDescriptor(reactor, int(told["fileno"]), Path(told["certificate"]), Path(told["key"]))


def main() -> None:
    # daphne offers no other way to bring an endpoint along.
    daphne.server.serverFromString = endpoint
    CommandLineInterface.entrypoint()


if __name__ == "__main__":
    main()
