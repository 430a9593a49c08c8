from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.core.objects import ID_PATTERN, Kind, OwnedObject, PageWish, not_found
from gateway.core.policy import Client, Sharing

FILE = OwnedObject(Kind.FILE, "file-1", team_id=1, client_id=10, key_id=1, created_at=0)


def client(number: int, team: int, sharing: Sharing) -> Client:
    return Client(number, f"client {number}", team, f"team {team}", sharing=sharing)


@pytest.mark.parametrize("sharing", list(Sharing))
@pytest.mark.parametrize(("number", "team"), [(10, 1), (11, 1), (20, 2)])
def test_an_object_is_its_client_s_or_its_team_s_and_nobody_else_s(
    number: int, team: int, sharing: Sharing
) -> None:
    asking = client(number, team, sharing)
    seen = number == 10 or (team == 1 and sharing is Sharing.TEAM)
    assert FILE.visible_to(asking) is FILE.was_visible_to(asking) is seen
    gone = replace(FILE, deleted=True)
    assert not gone.visible_to(asking)
    assert gone.was_visible_to(asking) is seen


@pytest.mark.parametrize("name", ["file-a_B.9:x", "ft:gpt-4o-mini:org:name:Ab1", "r", "x" * 128])
def test_ids_are_plain(name: str) -> None:
    assert ID_PATTERN.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "...", ".a", "a/b", "a%2fb", "a b", "a\n", "é", "a?b", "x" * 129]
)
def test_what_could_be_another_path_is_no_id(name: str) -> None:
    assert not ID_PATTERN.fullmatch(name)


def test_the_answer_for_what_is_not_there_says_what_was_asked() -> None:
    error = not_found(Kind.FINE_TUNING_JOB, "x" * 500, "training_file")
    assert (error.status, error.code, error.param) == (404, "not_found", "training_file")
    assert error.message == f"No such fine tuning job: '{'x' * 128}'."


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, ["a", "b", "c"]),
        ({"purpose": "batch"}, ["a"]),
        ({"purpose": "vision"}, []),
        ({"metadata[k]": "1"}, ["b"]),
        ({"metadata[k]": "2"}, []),
        ({"metadata[none]": ""}, []),
        ({"metadata": "null"}, ["a", "c"]),
        ({"metadata": "1"}, []),
    ],
)
def test_lists_are_filtered_by_what_is_described(
    filters: dict[str, str], wanted: list[str]
) -> None:
    described: dict[str, dict[str, Any] | None] = {
        "a": {"purpose": "batch", "metadata": {}},
        "b": {"metadata": {"k": "1"}},
        "c": None,
    }
    wish = PageWish(filters=filters)
    objects = [OwnedObject(Kind.FILE, n, 7, 1, 3, 1, data=d) for n, d in described.items()]
    assert [one.id for one in objects if wish.wants(one)] == wanted
