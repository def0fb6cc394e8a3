"""The search index: which passages of a persona hold the words of a question.

A word is stored behind the number of its persona's `Knowledge`, so a search never walks through what
others know, and how rare a word is is counted among the persona's own passages. Only `words` decides what
a word is; what people typed never reaches the query language of a database.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from sessions.knowledge import words
from sessions.knowledge.words import Wanted

# A word in more passages than this is not counted further: it tells hardly anything.
COUNTED = 1_500
# So many passages are ranked, those with the rarest words; a question of common words looks no further.
RANKED = 3_000
# A pair of characters that no passage has was most likely none of a word.
UNKNOWN_PAIR = 0.2
_BETWEEN = "\u00b7"  # no ASCII, so that SQLite takes it for a letter


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage by its id. `share` is how much of the question's weight its words hold, 0 to 1 or so."""

    passage: int
    share: float


def prepared(scope: int, texts: Iterable[str]) -> list[str]:
    """Texts as the index takes them, under the persona's `Knowledge` number. Asks no database."""
    written = _vector if connection.vendor == "postgresql" else _spaced
    return [written(scope, words.terms(text)) for text in texts]


def add(rows: Iterable[tuple[int, str]]) -> None:
    """Put passages into the index: their ids, and their texts as `prepared` made them."""
    statement = (
        "INSERT INTO live_passage_terms (passage_id, terms) VALUES (%s, %s::tsvector)"
        if connection.vendor == "postgresql"
        else "INSERT INTO live_passage_terms (rowid, terms) VALUES (%s, %s)"
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, list(rows))


def search(scope: int, question: str, *, passages: int, limit: int) -> list[Hit]:
    """The passages that fit a question best, best first; nothing for small talk."""
    asked = words.wanted(question)
    if not asked or not passages:
        return []
    look = _in_postgresql if connection.vendor == "postgresql" else _in_sqlite
    return look(scope, asked, passages, limit)


def weights(counts: Mapping[Wanted, int], passages: int) -> dict[Wanted, float]:
    """What finding a word says: much for a rare one, and most for one that no passage has."""
    said = {w: math.log(1 + (passages - min(n, passages) + 0.5) / (n + 0.5)) for w, n in counts.items()}
    return {w: UNKNOWN_PAIR * said[w] if w.pair and not counts[w] else said[w] for w in said}


def _ranked(counts: Mapping[Wanted, int]) -> list[Wanted]:
    """The words to look for: from the rarest on, until there is enough to rank."""
    chosen: list[Wanted] = []
    total = 0
    for word in sorted((w for w in counts if counts[w]), key=lambda w: counts[w]):
        if chosen and total + counts[word] > RANKED:
            break
        chosen.append(word)
        total += counts[word]
    return chosen


def _in_sqlite(scope: int, asked: Sequence[Wanted], passages: int, limit: int) -> list[Hit]:
    counting = (
        "SELECT count(*) FROM (SELECT 1 FROM live_passage_terms WHERE live_passage_terms MATCH %s LIMIT %s)"
    )
    with connection.cursor() as cursor:
        matches = [_match(scope, word) for word in asked]
        cursor.execute(
            " UNION ALL ".join([counting] * len(asked)), [v for match in matches for v in (match, COUNTED)]
        )
        counts = dict(zip(asked, (row[0] for row in cursor.fetchall()), strict=True))
        chosen = _ranked(counts)
        if not chosen:
            return []
        query = " OR ".join(_match(scope, word) for word in chosen)
        cursor.execute(
            # The inner query sorts numbers alone: the words of all that match would be read for it.
            "SELECT found.id, words.terms FROM (SELECT rowid AS id, bm25(live_passage_terms) AS far "
            "FROM live_passage_terms WHERE live_passage_terms MATCH %s ORDER BY far LIMIT %s) AS found "
            "JOIN live_passage_terms AS words ON words.rowid = found.id ORDER BY found.far",
            [query, 2 * limit],
        )
        rows = cursor.fetchall()
    weight = weights(counts, passages)
    whole = sum(weight.values()) or 1.0
    hits = [
        Hit(passage, sum(weight[w] for w in asked if _holds(held, _scoped(scope, w.term), w)) / whole)
        for passage, terms in rows
        for held in [frozenset(terms.split(" "))]
    ]
    # All words of the question count here, also those too common to look for.
    return sorted(hits, key=lambda hit: -hit.share)[:limit]


def _in_postgresql(scope: int, asked: Sequence[Wanted], passages: int, limit: int) -> list[Hit]:
    counting = (
        "SELECT count(*) FROM (SELECT 1 FROM live_passage_terms WHERE terms @@ %s::tsquery LIMIT %s) AS n"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        # The index answers in any case; reading and unpacking the rows themselves is what takes long.
        cursor.execute("SET LOCAL enable_seqscan = off")
        queries = [_tsquery(scope, word) for word in asked]
        cursor.execute(
            " UNION ALL ".join([counting] * len(asked)), [v for query in queries for v in (query, COUNTED)]
        )
        counts = dict(zip(asked, (row[0] for row in cursor.fetchall()), strict=True))
        chosen = _ranked(counts)
        if not chosen:
            return []
        weight = weights(counts, passages)
        whole = sum(weight.values()) or 1.0
        finding = "SELECT passage_id, %s::float8 AS weight FROM live_passage_terms WHERE terms @@ %s::tsquery"
        found = " UNION ALL ".join([finding] * len(chosen))
        # Words that are too common to look for still tell the best from each other.
        unsought = [word for word in asked if counts[word] and word not in chosen]
        common = " + CASE WHEN terms @@ %s::tsquery THEN %s::float8 ELSE 0 END" * len(unsought)
        others = [v for word in unsought for v in (_tsquery(scope, word), weight[word] / whole)]
        told = [v for word in chosen for v in (weight[word] / whole, _tsquery(scope, word))]
        cursor.execute(
            f"WITH best AS (SELECT passage_id, sum(weight) AS share FROM ({found}) AS found "  # noqa: S608 - only placeholders
            "GROUP BY passage_id ORDER BY share DESC, passage_id LIMIT %s)"
            f", whole AS (SELECT passage_id, terms, share{common} AS share "
            "FROM best JOIN live_passage_terms USING (passage_id)) SELECT passage_id, share FROM whole "
            "ORDER BY share + 0.2 * ts_rank_cd(terms, %s::tsquery, 1) DESC LIMIT %s",
            [*told, 2 * limit, *others, " | ".join(_tsquery(scope, word) for word in chosen), limit],
        )
        return [Hit(passage, share) for passage, share in cursor.fetchall()]


def _holds(held: Collection[str], term: str, word: Wanted) -> bool:
    return any(one.startswith(term) for one in held) if word.begins else term in held


def _scoped(scope: int, term: str) -> str:
    return f"{scope}{_BETWEEN}{term}"


def _match(scope: int, word: Wanted) -> str:
    """One word of SQLite's query language: in quotes it is nothing but text."""
    return f'"{_scoped(scope, word.term)}"{"*" if word.begins else ""}'


def _tsquery(scope: int, word: Wanted) -> str:
    return f"'{_scoped(scope, word.term)}'{':*' if word.begins else ''}"


def _spaced(scope: int, found: Sequence[str]) -> str:
    return " ".join(_scoped(scope, term) for term in found)


def _vector(scope: int, found: Sequence[str]) -> str:
    """A tsvector's text: letters and digits alone, so nothing has to be escaped."""
    return " ".join(f"'{_scoped(scope, term)}':{place}" for place, term in enumerate(found, 1))
