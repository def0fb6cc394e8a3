"""What the sidecar counts about itself, for Prometheus. One process, so its figures are its own."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
NO_ROUTE = "none"


class Figures:
    """Instruments of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "parley_speech_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "parley_speech_request_seconds",
            "Time to the end of an answer",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.first = Histogram(
            "parley_speech_first_sound_seconds",
            "Time from a request to the first sentence as sound",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.spoken = Counter(
            "parley_speech_spoken_seconds", "Sound that was made, in seconds", registry=self.registry
        )
        self.waiting = Gauge(
            "parley_speech_waiting", "Sentences that wait for their turn", registry=self.registry
        )

    def count(self, request: web.Request, status: int, took: float) -> None:
        resource = request.match_info.route.resource
        route = NO_ROUTE if resource is None else resource.canonical
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(took)

    def page(self) -> web.Response:
        return web.Response(
            body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )


FIGURES = web.AppKey("figures", Figures)


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Stands first, so that refusals are counted as well. 499: the caller went away."""
    began, status = time.perf_counter(), 499
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as refusal:
        status = refusal.status
        raise
    except ConnectionError:  # while it was written to
        raise
    except Exception:
        status = 500
        raise
    else:
        return response
    finally:
        request.app[FIGURES].count(request, status, time.perf_counter() - began)
