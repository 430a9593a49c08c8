"""The isolation matrix: what is another's looks in every place as if it did not exist.

Three clients in two teams, once where clients share nothing and once where teams share, have an
id of every kind each. Everyone asks for everyone's, in every place where an id can stand. A
stranger must get the answer that an unknown id gets, to the byte; the provider must not hear of
it; and no answer may have an id of somebody else. The table is in ``id_kinds.py``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import permutations
from urllib.parse import urlsplit

import pytest
from flask import Flask

from gateway.core.policy import Sharing
from gateway.web.routes import BLUEPRINTS
from tests.e2e.conftest import MakeRig
from tests.e2e.id_kinds import KINDS, IdKind, ids_of
from tests.e2e.id_places import Actor, Place
from tests.e2e.provider import SimulatedProvider, report
from tests.e2e.rig import Rig
from tests.e2e.traffic import Reply
from tests.e2e.witness import Witness, requests_in

OWN, MATE, STRANGER = "own", "mate", "stranger"
MATE_SHARES, STRANGER_SHARES = "mate, shared", "stranger, shared"
COLUMNS = (OWN, MATE, STRANGER, MATE_SHARES, STRANGER_SHARES)

# What no two answers have in common.
CHANGING = {"date", "x-faregate-request-id", "x-faregate-budget-remaining-usd"}
OF_THE_PROVIDER = {"x-request-id", "openai-processing-ms"}


@dataclass(frozen=True)
class Cell:
    """One question of one client about an id of one client."""

    kind: str
    place: str
    column: str
    status: int
    wrong: str = ""
    """What is wrong with the answer; empty where nothing is."""


def unknown_like(one: str) -> str:
    """An id of the same form and length that nobody has."""
    changed = one[:-8] + re.sub("[A-Za-z0-9]", "0", one[-8:])
    return changed if changed != one else one[:-1] + "1"


class Matrix:
    """Asks, and judges the answers."""

    def __init__(self, witness: Witness) -> None:
        self.cells: list[Cell] = []
        self._witness = witness
        self._unknown: dict[tuple[int, str, str], Reply] = {}

    def refused(self, who: Actor, owner: Actor, foreign: Iterable[Actor], column: str) -> None:
        """``who`` asks for all that is ``owner``'s, and it must be as if it were nobody's."""
        for kind, place in every_place():
            one = owner.ids[kind.name]
            reply, sent = self._ask(who, place, one)
            wrong = self._heard(place, one, sent) or named_in(reply, one, foreign)
            if place.listed:
                wrong = wrong or ("" if reply.status == 200 else "the list cannot be read")
            else:
                wrong = wrong or self._differs(who, kind, place, one, reply)
            self.cells.append(Cell(kind.name, place.name, column, reply.status, wrong))

    def granted(self, who: Actor, foreign: Iterable[Actor], column: str, *, ends: bool) -> None:
        """``who`` asks for all that it may have; of what comes to an end, where ``ends``."""
        for kind, place in every_place():
            if place.ends is not ends:
                continue
            one = who.ids[kind.name]
            reply, _ = self._ask(who, place, one)
            wrong = named_in(reply, one, foreign)
            if reply.status not in ((400,) if place.nobodys else place.own):
                wrong = f"{reply.status} {reply.body[:300]!r}"
            elif place.listed and one.encode() not in reply.body:
                wrong = "it is not in the list"
            elif reply.status != 200 and not place.nobodys:
                # Refused it may be, but not for being unknown.
                unknown = self._of_unknown(who, kind, place, one)
                if unknown.body.replace(unknown_like(one).encode(), one.encode()) == reply.body:
                    wrong = "the answer of an unknown id"
            self.cells.append(Cell(kind.name, place.name, column, reply.status, wrong))

    def _ask(self, who: Actor, place: Place, one: str) -> tuple[Reply, bytes]:
        """The answer, and what the provider heard while it was made."""
        ask = place.build(who, one)
        mark = self._witness.mark()
        reply = ask.send(who.caller)
        return reply, self._witness.sent(mark)

    def _heard(self, place: Place, one: str, sent: bytes) -> str:
        heard = [line for line in requests_in(sent) if line != "GET /v1/models"]
        if one.encode() in sent and not place.passed:
            return f"the provider heard of it: {heard}"
        if any(not place.reads or not line.startswith("GET ") for line in heard):
            return f"the provider was asked: {heard}"
        return ""

    def _differs(self, who: Actor, kind: IdKind, place: Place, one: str, reply: Reply) -> str:
        if reply.status != (400 if place.nobodys else place.foreign):
            return f"{reply.status} {reply.body[:300]!r}"
        unknown, name = self._of_unknown(who, kind, place, one), unknown_like(one)
        changing = CHANGING | (OF_THE_PROVIDER if place.reads else set())
        told, other = told_by(reply, one, changing), told_by(unknown, name, changing)
        return "" if told == other else f"{told} and not as of an unknown one {other}"

    def _of_unknown(self, who: Actor, kind: IdKind, place: Place, one: str) -> Reply:
        """The answer for an id that nobody has."""
        name = unknown_like(one)
        at = (id(who), f"{kind.name} {place.name}", name)
        if at not in self._unknown:
            self._unknown[at] = self._ask(who, place, name)[0]
        return self._unknown[at]


def every_place() -> Iterator[tuple[IdKind, Place]]:
    return ((kind, place) for kind in KINDS for place in kind.places)


def told_by(reply: Reply, one: str, changing: set[str]) -> tuple[int, dict[str, str], bytes]:
    """All that an answer tells, but for the id that was asked for."""
    headers = {name: value for name, value in reply.headers.items() if name not in changing}
    return reply.status, headers, reply.body.replace(one.encode(), b"*")


def named_in(reply: Reply, one: str, foreign: Iterable[Actor]) -> str:
    """What an answer has of others' ids beside the one that was asked for."""
    text = f"{reply.headers} {reply.body.decode('utf-8', 'replace')}".replace(one, "")
    found = [name for actor in foreign for name in actor.all_ids if name in text]
    return f"the answer names {found}" if found else ""


# The matrix


@pytest.fixture
def witness(provider: SimulatedProvider) -> Iterator[Witness]:
    found = Witness(provider.url)
    yield found
    found.close()


def clients(rig: Rig, sharing: Sharing) -> list[Actor]:
    """Two clients of one team, and one of another; each with an id of every kind."""
    first = rig.tenant(10**13, may_fine_tune=True)
    rig.share(first, sharing)
    second = rig.mate(first, may_fine_tune=True)
    third = rig.tenant(10**13, may_fine_tune=True)
    rig.share(third, sharing)
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda tenant: ids_of(rig, tenant), (first, second, third)))


def play(rig: Rig, matrix: Matrix, sharing: Sharing) -> None:
    """Everyone asks for everyone's; then the owners for their own, and for its end."""
    shared = sharing is Sharing.TEAM
    all_three = clients(rig, sharing)
    *mates, third = all_three
    for who, owner in permutations(all_three, 2):
        visible = mates if shared and who is not third else [who]
        foreign = [one for one in all_three if one not in visible]
        if owner in visible:
            # One who shares asks with what the owner has.
            matrix.granted(replace(who, ids=owner.ids), foreign, MATE_SHARES, ends=False)
        else:
            column = STRANGER if third in (who, owner) else MATE
            matrix.refused(who, owner, foreign, STRANGER_SHARES if shared else column)
    for ends in (False, True):
        for owner in all_three:
            team = mates if shared and owner is not third else [owner]
            foreign = [one for one in all_three if one not in team]
            if ends and shared and owner is mates[0]:
                # Who shares may also delete and cancel.
                mine = replace(mates[1], ids=owner.ids)
                matrix.granted(mine, foreign, MATE_SHARES, ends=True)
            else:
                matrix.granted(owner, foreign, OWN, ends=ends)


def shown(cells: Iterable[Cell]) -> Iterator[str]:
    """The matrix as text: a line a place, a column a relation, statuses in the cells."""
    yield f"{'id':<22}{'place':<76}" + "".join(f"{name:<18}" for name in COLUMNS)
    by_place: dict[tuple[str, str], dict[str, Counter[str]]] = {}
    for cell in cells:
        row = by_place.setdefault((cell.kind, cell.place), {})
        mark = f"{cell.status}{'!' if cell.wrong else ''}"
        row.setdefault(cell.column, Counter())[mark] += 1
    for (kind, place), row in by_place.items():
        told = (
            " ".join(f"{count}x{mark}" for mark, count in row.get(name, Counter()).items()) or "-"
            for name in COLUMNS
        )
        yield f"{kind:<22}{place:<76}" + "".join(f"{text:<18}" for text in told)


@pytest.mark.timeout(300)
def test_nobody_reads_or_changes_what_is_anothers(make_rig: MakeRig, witness: Witness) -> None:
    # One test, so that processes which share the tests out do not do the work twice.
    rig = make_rig(workers=1, upstream_url=witness.url, follow_seconds=1)
    matrix = Matrix(witness)
    for sharing in Sharing:
        play(rig, matrix, sharing)
    cells = matrix.cells
    wrong = [cell for cell in cells if cell.wrong]
    crossed = [cell for cell in wrong if cell.column != OWN]
    report("\n".join(shown(cells)))
    report(f"{len(cells):,} cells, {len(crossed)} cross reads or writes")
    assert not wrong, "\n".join(f"{cell}" for cell in wrong)
    assert {(cell.kind, cell.place, cell.column) for cell in cells} == {
        (kind.name, place.name, column) for kind, place in every_place() for column in COLUMNS
    }
    assert rig.audit()["records"] > 0


def test_every_route_with_an_id_in_its_path_is_in_the_table() -> None:
    app = Flask("routes")
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    served = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        # The organization's are for administrators' tokens, not for clients.
        if rule.rule.startswith("/v1/") and not rule.rule.startswith("/v1/organization/")
        if rule.arguments
        for method in (rule.methods or set()) - {"OPTIONS"}
    }
    assert len(served) > 25
    assert {place.route for _, place in every_place() if place.route} == served


def test_what_passes_the_witness_is_remembered(
    witness: Witness, provider: SimulatedProvider
) -> None:
    caller = replace(provider.caller(), port=urlsplit(witness.url).port or 0)
    assert caller.get("/v1/files/file-none").status == 404
    assert requests_in(witness.sent(0)) == ["GET /v1/files/file-none"]
    assert caller.chat(max_tokens=1).status == 200
    assert b"What do budgets limit?" in witness.sent(0)
