from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.core.roles import Principal, Role
from gateway.web.dashboard.filters import View, bounded, view_of

NOW = datetime(2026, 3, 31, 13, 20, tzinfo=UTC)
ADMIN = Principal("user:ann@acme.example", Role.ADMIN)
OWNER = Principal("user:olga@acme.example", Role.OWNER, 3)
CLIENT = Principal("key:fg-abcd...wxyz", Role.CLIENT, 3, 4)
GROUPS = ("team", "client", "model")


def view(query: str = "", **options: object) -> View:
    pairs: dict[str, list[str]] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        pairs.setdefault(name, []).append(value)
    return view_of("/", pairs, NOW, **{"groups": GROUPS, "tags": ["env"], **options})  # type: ignore[arg-type]


def test_the_query_says_what_is_shown_and_can_be_written_again() -> None:
    found = view("range=7d&group=model&client=4&client=5&model=gpt-5&compare=none")
    assert (found.range.name, found.group, found.compare) == ("7d", "model", False)
    chosen = found.selection(ADMIN)
    assert (chosen.client_ids, chosen.models) == ((4, 5), ("gpt-5",))
    assert found.link() == "/?range=7d&group=model&compare=none&client=4&client=5&model=gpt-5"
    assert view().link() == "/"


@pytest.mark.parametrize(
    "query",
    ["team=x", "team=-1", "team=%C2%B2", "team=99999999999999999999", "model=a%0Ab", "tag=x"],
)
def test_what_is_malformed_is_left_out(query: str) -> None:
    from urllib.parse import unquote

    assert view(unquote(query)).filters == {}


def test_an_unknown_group_is_the_first() -> None:
    assert view("group=certainty").group == "team"
    assert view("group=tag:env").group == "tag:env"
    assert view("group=tag:secret").group == "team"


def test_two_tags_at_once_are_not_asked_for() -> None:
    found = view("group=tag:env&tag=feature=search")
    assert found.group == "team"
    assert found.selection(ADMIN).tag == ("feature", "search")
    assert view("group=tag:env&tag=env=test").group == "tag:env"


def test_chips_lead_to_the_page_without_them() -> None:
    (first, second) = view("model=gpt-5&model=o3&range=7d").chips
    assert (first.label, first.text) == ("Model", "gpt-5")
    assert first.path == "/?range=7d&model=o3"
    assert second.path == "/?range=7d&model=gpt-5"


def test_groups_lead_to_their_page_or_to_a_filter() -> None:
    assert view().group_link("3") == "/teams/3"
    assert view().group_link("0") is None
    assert view("group=model").group_link("gpt-5") == "/?group=model&model=gpt-5"
    assert view("group=tag:env").group_link("a&b") == "/?group=tag%3Aenv&tag=env%3Da%26b"
    assert view("group=tag:env").group_link("") is None


def test_presets_keep_the_rest_of_the_query() -> None:
    found = {
        preset.label: preset for preset in view("from=2026-03-01&to=2026-03-02&model=o3").presets
    }
    assert found["7 days"].path == "/?range=7d&model=o3"
    assert found["30 days"].path == "/?model=o3"
    assert not any(preset.current for preset in found.values())


def test_filters_of_the_page_are_no_part_of_the_query() -> None:
    found = view("team=7", fixed={"team": "3"})
    assert found.selection(ADMIN).team_ids == (3,)
    assert found.link() == "/"


# Who sees what


def test_an_owner_sees_the_own_team_alone() -> None:
    assert view().selection(OWNER).team_ids == (3,)
    assert view("team=3").selection(OWNER).team_ids == (3,)
    asked = view("team=3&team=4").selection(OWNER)
    assert asked.team_ids == (3,)
    assert view("team=4", fixed={"team": "4"}).selection(OWNER).team_ids not in ((), (4,))


def test_a_client_sees_itself_alone() -> None:
    found = view("client=5&team=9").selection(CLIENT)
    assert 5 not in found.client_ids
    assert found.client_ids
    assert 9 not in found.team_ids
    assert found.team_ids
    own = view().selection(CLIENT)
    assert (own.team_ids, own.client_ids) == ((3,), (4,))


def test_who_sees_everything_is_not_bounded() -> None:
    chosen = view("team=4").selection(ADMIN)
    assert bounded(ADMIN, chosen) is chosen
