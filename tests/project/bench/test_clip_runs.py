"""Clips are made like a customer's: posted, watched, and timed from the outside."""

import json

import httpx
import pytest

from project.bench import clip_runs
from project.bench.clip_figures import Figures
from project.bench.clip_runs import Made, Maker, Watched
from project.bench.errors import BenchError
from project.bench.resources import Sample, Sampler, Use

TIMINGS = {
    "started_ms": 20,
    "speech_ms": 300,
    "first_fragment_ms": 400,
    "rendered_ms": 900,
    "finished_ms": 1100,
    "render_work_ms": 1000,
    "assembly_ms": 150,
}


class Service:
    """Answers like the API; a clip is done after `looks` looks at the list, and ends with `status`."""

    def __init__(self, *, looks=2, status="succeeded", accept=202):
        self.looks, self.status, self.accept = looks, status, accept
        self.posted = []
        self.http = httpx.Client(base_url="http://service", transport=httpx.MockTransport(self.answer))

    def answer(self, request):
        path = request.url.path
        if request.method == "POST":
            self.posted.append(json.loads(request.content))
            return httpx.Response(
                self.accept, json=self.clip(f"clip_{len(self.posted)}") | {"status": "queued"}
            )
        if path == "/api/v1/models":
            return httpx.Response(200, json=[{"id": "mock", "queue_depth": 3}])
        if path.endswith("/events"):
            told = [
                self.clip("clip_1") | {"status": "running", "preview_url": "http://service/p.m3u8"},
                self.clip("clip_1"),
            ]
            return httpx.Response(200, text="".join(f"id: 1\ndata: {json.dumps(one)}\n\n" for one in told))
        if path == "/api/v1/clips":
            self.looks -= 1
            ids = request.url.params["ids"].split(",")
            state = {} if self.looks <= 0 else {"status": "running", "fragments": {"done": 1, "total": None}}
            return httpx.Response(200, json={"results": [self.clip(one) | state for one in ids]})
        return httpx.Response(200, json=self.clip(path.rpartition("/")[2]) | {"timings": TIMINGS})

    def clip(self, clip_id):
        return {
            "id": clip_id,
            "status": self.status,
            "failure": {"code": "storage_full"} if self.status == "failed" else None,
            "fragments": {"done": 2, "total": 2},
            "preview_url": None,
            "result": {"duration_ms": 4000, "width": 512, "height": 640},
        }


@pytest.fixture
def played(monkeypatch):
    urls = []
    monkeypatch.setattr(clip_runs, "play", urls.append)
    monkeypatch.setattr(clip_runs, "LOOK_SECONDS", 0.0)
    return urls


def maker(service):
    return Maker(service.http, {"avatar": "lena", "model": "mock", "script": "Hello"}, fps=25.0)


def test_one_clip_is_watched_and_its_preview_is_played_once(played):
    made = maker(Service()).one()
    assert played == ["http://service/p.m3u8"]
    assert made.seconds == 4.0
    assert made.frames == 100
    assert 0 < made.playable_ms <= made.told_ms == made.total_ms


def test_several_are_posted_at_once_and_looked_at_until_all_are_there(played):
    service = Service(looks=3)
    clips, watched, seconds = maker(service).several(30)
    assert len(service.posted) == len(clips) == 30
    assert [depth for _, depth in watched.depth] == [3.0] * len(watched.depth)
    assert watched.done[-1][1] == 60
    assert 0 < seconds == watched.done[-1][0]  # fetching what became of each is no part of it
    assert clips[0].total_ms == TIMINGS["finished_ms"]


def test_a_clip_that_fails_or_is_refused_stops_the_measurement(played):
    with pytest.raises(BenchError, match=r"failed.*storage_full"):
        maker(Service(status="failed")).one()
    with pytest.raises(BenchError, match="refused: 429"):
        maker(Service(accept=429)).several(2)


def test_clips_that_never_end_stop_the_measurement(played):
    endless = Maker(Service(looks=10**9).http, {"model": "mock"}, fps=25.0, seconds=0.05)
    with pytest.raises(BenchError, match="were not ready"):
        endless.several(1)


def test_the_stages_of_a_clip_follow_from_its_timings():
    made = Made(4.0, 2, dict.fromkeys(TIMINGS, 0) | TIMINGS, "512x640", 25.0, playable_ms=500.0)
    assert made.stages() == {
        "waiting": (0.0, 20),
        "speech": (20, 320),
        "first fragment": (20, 400),
        "other fragments": (400, 900),
        "assembly": (950, 1100),
        "preview plays": (500.0, 1100),
    }


def test_a_rate_is_of_the_last_second():
    watched = Watched(done=[(0.0, 0.0), (0.5, 1.0), (1.0, 4.0), (2.0, 6.0)])
    assert watched.rate() == [(1.0, 4.0), (2.0, 2.0)]


def test_the_figures_of_clips(result):
    result.metrics.clear()
    figures = Figures(result, "mock")
    clip = Made(4.0, 2, TIMINGS, "512x640", 25.0, playable_ms=500.0, told_ms=1200.0)
    figures.single([clip, clip], "warm")
    figures.together([clip] * 3, Watched(depth=[(0.0, 2.0), (0.3, 5.0)]), 6.0)
    median = {metric.key: metric.median for metric in result.metrics}
    assert median["rtf", "warm", "mock", ""] == 0.3
    assert median["render_fps", "warm", "mock", ""] == 100.0
    assert median["steady_chunk_ms", "warm", "mock", ""] == 500.0
    assert median["clip_drawing_ms", "warm", "mock", ""] == 500.0
    assert median["clip_throughput", "steady", "mock", "3 at once"] == 2.0
    assert median["fragments_per_s", "steady", "mock", "3 at once"] == 1.0
    assert median["queue_depth", "steady", "mock", "3 at once"] == 3.5


def test_what_the_parts_used_is_counted_for_a_minute_of_film(result):
    sampler = Sampler(dict)
    sampler.samples = [
        Sample(0.0, {"web": Use(1.0, 90.0), "render": Use(2.0, 200.0)}, with_memory=True),
        Sample(9.0, {"web": Use(1.5, 100.0), "render": Use(5.0, 210.0)}, with_memory=True),
    ]
    Figures(result, "mock").used(sampler, 30.0, "3 at once")
    assert result.find("clip_cpu_minute", model="mock").values == (7.0,)
    assert result.find("memory_mb", model="mock").values == (310.0,)
    assert result.tables[-1].rows == (("render", "6", "210"), ("web", "1", "100"))


def test_processes_elsewhere_are_not_measured(result):
    sampler = Sampler(dict)
    sampler.samples = [Sample(0.0, {}, with_memory=True), Sample(1.0, {}, with_memory=True)]
    for case in ("1 at once", "3 at once"):
        Figures(result, "mock").used(sampler, 30.0, case)
    assert (
        result.find("clip_cpu_minute", model="mock", case="3 at once").missing
        == "its processes are on another machine"
    )
