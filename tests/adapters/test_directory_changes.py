"""What every change has: a version, an entry of the audit log, and a check of what was seen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from gateway.adapters import audit_log
from gateway.adapters.directory import Directory, DirectoryError
from gateway.adapters.directory_budgets import create_budget
from gateway.adapters.directory_facts import team_facts
from gateway.adapters.directory_teams import create_team
from gateway.adapters.directory_values import ChangedMeanwhile, InTheWay, NotThere
from gateway.core.budgets import WindowKind
from gateway.core.etags import ANY, etag_of
from gateway.core.policy import Sharing
from tests.adapters.directories import noted, small_directory


def test_an_entry_says_who_did_what_from_where(engine: Engine) -> None:
    small_directory(engine)
    made, _ = audit_log.entries(engine).entries
    assert (made.actor, made.role, made.address) == ("user:ann@acme.example", "admin", "192.0.2.7")
    assert (made.action, made.subject, made.subject_name) == ("create", "client", "bot")


def test_a_command_is_in_the_log_without_an_address(engine: Engine) -> None:
    directory = Directory(engine)
    directory.initialise("Acme")
    directory.create_team("search")
    (made,) = audit_log.entries(engine).entries
    assert (made.actor, made.role, made.address) == ("cli", "admin", None)


def test_a_refused_change_is_not_in_the_log(engine: Engine) -> None:
    directory = small_directory(engine)
    with pytest.raises(InTheWay):
        directory.create_team("search")
    with pytest.raises(NotThere):
        directory.change_client("absent", requests_per_minute=1)
    assert noted(engine) == []


def test_several_changes_are_one_step_or_none(engine: Engine) -> None:
    directory = small_directory(engine)
    before = directory.version()
    with directory.change() as change:
        team = create_team(change, "ads")
        create_budget(change, "b", limit_nano=1, window=WindowKind.DAY, team=team)
    assert directory.version() == before + 1
    assert [entry[:3] for entry in noted(engine)] == [
        ("create", "team", "ads"),
        ("create", "budget", "b"),
    ]
    with pytest.raises(DirectoryError, match="exists already"), directory.change() as change:  # noqa: PT012
        create_team(change, "sales")
        create_budget(change, "b", limit_nano=1, window=WindowKind.DAY)
    assert directory.version() == before + 1
    assert [row.name for row in directory.teams()] == ["ads", "search"]
    assert len(noted(engine)) == 2


def test_what_was_changed_since_it_was_seen_is_not_changed_again(engine: Engine) -> None:
    directory = small_directory(engine)
    seen = {etag_of(team_facts(directory.team("search")))}
    directory.change_team("search", Sharing.TEAM, seen=seen)
    with pytest.raises(ChangedMeanwhile, match="read it again"):
        directory.change_team("search", name="find", seen=seen)
    assert directory.team("search").sharing == "team"
    directory.change_team("search", name="find", seen=ANY)
    assert directory.team("find").sharing == "team"


def test_every_subject_checks_what_was_seen(engine: Engine) -> None:
    directory = small_directory(engine)
    key = directory.create_key("bot")
    budget = directory.create_budget("b", limit_nano=1, window=WindowKind.DAY)
    other = {"another tag"}
    before = directory.version()
    for change in (
        lambda: directory.change_team("search", name="find", seen=other),
        lambda: directory.remove_team("search", seen=other),
        lambda: directory.change_client("bot", tokens_per_minute=1, seen=other),
        lambda: directory.remove_client("bot", seen=other),
        lambda: directory.rename_key(key.id, "ci", seen=other),
        lambda: directory.rotate_key(key.id, timedelta(0), seen=other),
        lambda: directory.revoke_key(key.id, seen=other),
        lambda: directory.change_budget(budget, limit_nano=2, seen=other),
        lambda: directory.remove_budget(budget, seen=other),
    ):
        with pytest.raises(ChangedMeanwhile):
            change()
    assert directory.version() == before
