"""How fast documents are taken and searched, and whether the right passage is found.

`python docs/benchmarks/knowledge.py` makes a handbook of 10,000 passages, stores it in SQLite and (where its
programs are installed) PostgreSQL, and asks it questions as a conversation does: through `Retriever`, from
an event loop, with a thread and a connection of the pool. The figures in knowledge.md are from it.
"""

# ruff: noqa: E501, PLC0415, RUF001, SIM905, SLF001, TID251 - Django is set up first; lists of words; marks of other scripts

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
PASSAGES = 10_000
DIMENSIONS = 1_024
ASKED = 300

MAKERS = "Aurora Bergamo Calder Delphi Evora Falster Gotland Harwich Imola Juno Kestrel Lomond".split()
THINGS = "kettle toaster heater lamp printer router camera scooter drill mower washer fridge".split()
# topic: (sentences of the passage that answers, questions)
TOPICS: dict[str, tuple[str, Sequence[str]]] = {
    "Guarantee": ("The guarantee for the {p} lasts {n} months from the day of purchase.",
                  ["How long is the guarantee of the {p}?", "how many months of guarantee do i get on a {p}"]),
    "Price": ("The {p} costs {n} euros including tax.",
              ["What does the {p} cost?", "tell me please how much the {p} costs"]),
    "Weight": ("Without packaging the {p} weighs {n} hundred grams.",
               ["How much does the {p} weigh?", "I would like to know the weight, what does a {p} weigh"]),
    "Cleaning": ("Clean the {p} every {n} days with a damp cloth and vinegar.",
                 ["How do I clean my {p}?", "how often should the {p} be cleaned"]),
    "Returns": ("A {p} may be returned within {n} days in its box.",
                ["Can I return the {p}?", "until when may i return a {p} that i do not like"]),
    "Delivery": ("Delivery of the {p} takes {n} working days by courier.",
                 ["How long does delivery of the {p} take?", "when will the courier deliver my {p}"]),
    "Noise": ("In its quiet mode the {p} makes {n} decibels of noise.",
              ["How loud is the noise of the {p}?", "is the {p} quiet at night"]),
    "Battery": ("The battery of the {p} is charged in {n} minutes.",
                ["How long does the battery of the {p} charge?", "charging time of the battery, {p}"]),
    "Spare parts": ("Spare parts of the {p} are kept in stock for {n} years.",
                    ["Are there spare parts for the {p}?", "how long do you stock spare parts of a {p}"]),
    "Error lights": ("When the red light of the {p} blinks {n} times, the filter is blocked.",
                     ["Why does the red light of my {p} blink?", "{p} blinking red light what now"]),
}  # fmt: skip
JAPANESE = (("{p}の保証期間は購入日から{n}か月です。", "{p}の保証期間はどれくらいですか"),
            ("{p}の修理には{n}日かかります。", "{p}の修理は何日かかりますか"))  # fmt: skip


def corpus(count: int) -> tuple[list[Any], list[tuple[str, int]]]:
    """Passages, and questions with the place of the passage that answers."""
    from sessions.knowledge.passages import Piece

    chance = random.Random(4)
    lengths = [chance.randint(1, 4) for _ in range(12_000)]
    words = [
        "".join(chance.choice("bcdfglmnprst") + chance.choice("aeiou") for _ in range(n)) for n in lengths
    ]
    common = "the of and to in is for with on by that this when from or as are be it can our you not".split()
    weights = [1 / (rank + 3) for rank in range(len(words))]
    pieces: list[Any] = []
    questions: list[tuple[str, int]] = []

    def filler(characters: int) -> str:
        told: list[str] = []
        while sum(map(len, told)) < characters:
            drawn = chance.choices(words, weights, k=9)
            mixed = [word for pair in zip(drawn, chance.choices(common, k=9), strict=True) for word in pair]
            told.append(" ".join(mixed).capitalize() + ".")
        return " ".join(told)

    while len(pieces) < count:
        product = f"{chance.choice(MAKERS)} {chance.choice(THINGS)} {chance.randint(100, 999)}"
        for topic, (fact, asked) in TOPICS.items():
            text = f"{filler(250)} {fact.format(p=product, n=chance.randint(2, 99))} {filler(350)}"
            questions += [(question.format(p=product), len(pieces)) for question in asked]
            pieces.append(Piece(text, f"{product} › {topic}"))
        if len(pieces) % 200 == 0:
            fact, question = chance.choice(JAPANESE)
            questions.append((question.format(p=product), len(pieces)))
            pieces.append(Piece(fact.format(p=product, n=chance.randint(2, 30)) * 3))
    chance.shuffle(questions)
    return pieces[:count], [(q, at) for q, at in questions if at < count]


class Instant:
    """An embedder that answers at once: what is measured is ours."""

    provider, model = "benchmark", "instant"

    async def embed(self, texts: Sequence[str], *, role: str = "passage") -> Any:  # noqa: ARG002
        import numpy as np

        drawn = np.random.default_rng(len(texts[0])).standard_normal((len(texts), DIMENSIONS))
        rows = drawn.astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def child(count: int) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    print(json.dumps(measured(count)))


def measured(count: int) -> dict[str, Any]:
    from project.accounts.models import User
    from sessions.knowledge import passages
    from sessions.knowledge.models import KnowledgeDocument
    from sessions.models import Persona

    user = User.objects.create_user("bench@example.com")
    persona = Persona.objects.create(owner=user, slug="bench", name="Bench")
    other = Persona.objects.create(owner=user, slug="other", name="Other")
    pieces, questions = corpus(count)
    found: dict[str, Any] = {}
    for who, some in ((persona, pieces), (other, pieces[: count // 5])):
        document = KnowledgeDocument.objects.create(
            persona=who, name="handbook.md", kind="markdown", bytes=1, sha256="0" * 64, key="x"
        )
        begun = time.perf_counter()
        passages.write(document, some, lambda: None)
        rows = KnowledgeDocument.objects.filter(pk=document.pk)
        passages.published(document, rows, status="ready", passages=len(some))
        found.setdefault("written_a_second", len(some) / (time.perf_counter() - begun))
    found |= asyncio.run(_asked(persona, user, questions))
    begun = time.perf_counter()
    from sessions.knowledge import documents

    documents.remove_passages(KnowledgeDocument.objects.get(persona=persona).pk)
    return found | {"removed_a_second": count / (time.perf_counter() - begun)}


async def _asked(persona: Any, user: Any, questions: Sequence[tuple[str, int]]) -> dict[str, Any]:
    from sessions.knowledge.retrieval import Retriever

    words = await _ask(lambda: Retriever(persona.pk, user.pk), questions[:ASKED])
    await asyncio.to_thread(_give_vectors, persona)
    both = await _ask(lambda: Retriever(persona.pk, user.pk, embedder=Instant()), questions[:ASKED])
    late = await _slowest_gap(lambda: Retriever(persona.pk, user.pk), questions[:ASKED])
    return {"words": words, "vectors": both, "loop_held_ms": late}


async def _ask(make: Callable[[], Any], questions: Sequence[tuple[str, int]]) -> dict[str, float]:
    for question, _ in questions[:10]:  # connections, caches of the database, and the matrix
        await make().passages(question, deadline_seconds=60)
    times, first, three = [], 0, 0
    for question, place in questions:
        looking = make()
        begun = time.perf_counter()
        found = await looking.passages(question, deadline_seconds=60)
        times.append((time.perf_counter() - begun) * 1000)
        places = [passage.index for passage in found]
        first += places[:1] == [place]
        three += place in places[:3]
    ordered = sorted(times)
    return {
        "median_ms": statistics.median(times),
        "p95_ms": ordered[int(len(ordered) * 0.95)],
        "worst_ms": ordered[-1],
        "first": first / len(questions),
        "first_three": three / len(questions),
    }


async def _slowest_gap(make: Callable[[], Any], questions: Sequence[tuple[str, int]]) -> float:
    """How late a 5 ms tick of the loop is, at worst (p99), while searches run in their threads."""
    gaps: list[float] = []
    over = asyncio.Event()

    async def tick() -> None:
        while not over.is_set():
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            gaps.append((time.perf_counter() - begun) * 1000 - 5)

    ticking = asyncio.create_task(tick())
    for question, _ in questions:
        await make().passages(question, deadline_seconds=60)
    over.set()
    await ticking
    return sorted(gaps)[int(len(gaps) * 0.99)]


def _give_vectors(persona: Any) -> None:
    import numpy as np

    from sessions.knowledge import embeddings, passages
    from sessions.knowledge.models import KnowledgeDocument, Passage

    document = KnowledgeDocument.objects.get(persona=persona)
    rows = list(Passage.objects.filter(document=document).order_by("index").only("pk"))
    chance = np.random.default_rng(4)
    for at in range(0, len(rows), 200):
        some = chance.standard_normal((len(rows[at : at + 200]), DIMENSIONS)).astype(np.float32)
        embeddings._store(rows[at : at + 200], some / np.linalg.norm(some, axis=1, keepdims=True))
    label = embeddings.label(Instant())
    passages.published(document, KnowledgeDocument.objects.filter(pk=document.pk), embedding_model=label)


def reading() -> dict[str, float]:
    """Characters a second that are read and cut, of each kind."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    from sessions.knowledge.reading import read
    from tests.support.pdfs import pdf

    pieces, _ = corpus(1_000)
    text = "\n\n".join(f"## {piece.heading}\n\n{piece.text}" for piece in pieces)
    told = text.encode()
    lined = [piece.text.replace(". ", ".\n") for piece in pieces[:300]]
    found = {}
    for kind, data in (("text", told), ("markdown", told), ("pdf, pages", pdf(lined))):
        begun = time.perf_counter()
        read("pdf" if "pdf" in kind else kind, data)
        spent = time.perf_counter() - begun
        found[kind] = (300 if "pdf" in kind else len(text)) / spent
    return found


def _databases() -> Iterator[tuple[str, str, ExitStack]]:
    from tests.support.postgres import postgres_server, programs

    stack = ExitStack()
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-bench-"))
    yield "SQLite", f"sqlite:///{folder}/bench.sqlite3", stack
    if programs() is not None:
        stack = ExitStack()
        yield "PostgreSQL", stack.enter_context(postgres_server()), stack


def page(lines: Sequence[str]) -> str:
    load = os.getloadavg()[0]
    head = f"""# Documents: taking and finding them

`python -m docs.benchmarks.knowledge`: {PASSAGES:,} passages of one persona beside those of another, on
{os.cpu_count()} cores with a load of {load:.0f} from other work. Each question goes through `Retriever`, with its thread
and its connection; the vectors ({DIMENSIONS} numbers each, drawn at random, made at once) are those of the whole persona
and show what searching them costs, not what they find. "Right" is the passage that answers the question.

| | median ms | 95% ms | worst ms | right one first | in the first three |
|---|---|---|---|---|---|
"""
    return head + "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=PASSAGES)
    parser.add_argument("--child", action="store_true")
    args = parser.parse_args()
    if args.child:
        child(args.passages)
        return
    rows, notes = [], [""]
    for name, url, stack in _databases():
        with stack:
            command = [sys.executable, __file__, "--child", "--passages", str(args.passages)]
            env = {**os.environ, "DATABASE_URL": url}
            ran = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
        figures = json.loads(ran.stdout.splitlines()[-1])
        for way, words in (("words", "by words"), ("vectors", "by words and vectors")):
            f = figures[way]
            times = f"{f['median_ms']:.1f} | {f['p95_ms']:.1f} | {f['worst_ms']:.1f}"
            rows.append(f"| {name}, {words} | {times} | {f['first']:.0%} | {f['first_three']:.0%} |")
        notes.append(
            f"{name}: {figures['written_a_second']:.0f} passages are written a second and "
            f"{figures['removed_a_second']:.0f} removed; a tick of the event loop is at most "
            f"{figures['loop_held_ms']:.1f} ms late (99%) while it is searched."
        )
    for kind, speed in reading().items():
        notes.append(f"Reading {kind}: {speed:,.0f} {'' if 'pages' in kind else 'characters '}a second.")
    told = page([*rows, *("\n".join(notes).split("\n"))])
    Path(__file__).with_suffix(".md").write_text(told, encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()
