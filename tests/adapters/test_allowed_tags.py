from __future__ import annotations

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory import Directory, DirectoryError
from gateway.adapters.policy_loader import load_policy
from gateway.core.budgets import WindowKind


@pytest.fixture
def directory(engine: Engine) -> Directory:
    made = Directory(engine)
    made.initialise("Acme")
    return made


def budget(directory: Directory, name: str, tag: str | None) -> int:
    return directory.create_budget(name, limit_nano=1, window=WindowKind.DAY, tag=tag)


def names(directory: Directory) -> list[str]:
    return [row.name for row in directory.tag_keys()]


def test_tags_are_allowed_listed_and_removed(engine: Engine, directory: Directory) -> None:
    for name in ("project", "env", "cost.center-2"):
        directory.add_tag_key(name)
    assert names(directory) == ["cost.center-2", "env", "project"]
    assert load_policy(engine).tags == {"project", "env", "cost.center-2"}
    directory.remove_tag_key("env")
    assert load_policy(engine).tags == {"project", "cost.center-2"}
    directory.add_tag_key("env")
    assert "env" in names(directory)


@pytest.mark.parametrize("name", ["", "Project", "a b", "a=b", "a,b", "n" * 65, "größe", "a\n"])
def test_a_name_that_no_header_can_have_is_refused(directory: Directory, name: str) -> None:
    with pytest.raises(DirectoryError, match="cannot name a tag"):
        directory.add_tag_key(name)


def test_the_gateways_own_tags_are_refused(directory: Directory) -> None:
    with pytest.raises(DirectoryError, match="the gateway sets itself"):
        directory.add_tag_key("image_size")


def test_what_changes_nothing_is_refused_and_moves_no_version(directory: Directory) -> None:
    directory.add_tag_key("project")
    version = directory.version()
    with pytest.raises(DirectoryError, match="is allowed already"):
        directory.add_tag_key("project")
    with pytest.raises(DirectoryError, match="there is no tag 'env'"):
        directory.remove_tag_key("env")
    assert directory.version() == version


def test_a_tag_that_a_budget_is_narrowed_to_stays(directory: Directory) -> None:
    directory.add_tag_key("a_b")
    directory.add_tag_key("axb")
    budget(directory, "one", "a_b=1")
    with pytest.raises(DirectoryError, match="tag 'a_b' narrows 'one': remove this"):
        directory.remove_tag_key("a_b")
    directory.remove_tag_key("axb")
    directory.remove_budget("one")
    directory.remove_tag_key("a_b")
    assert names(directory) == []


def test_a_budget_of_a_tag(directory: Directory) -> None:
    directory.add_tag_key("project")
    budget(directory, "alpha", "project=alpha, too")
    budget(directory, "all", None)
    budget(directory, "large", "image_size=1536x1024")
    assert [(row.name, row.tag) for row in directory.budgets()] == [
        ("alpha", "project=alpha, too"),
        ("all", None),
        ("large", "image_size=1536x1024"),
    ]


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("project", "is no tag: write name=value"),
        ("project=", "is no tag: write name=value"),
        ("project=" + "v" * 129, "is no tag: write name=value"),
        ("env=prod", "not allowed: `faregate tag add env` allows it"),
    ],
)
def test_a_budget_of_a_tag_that_no_request_can_have_is_refused(
    directory: Directory, tag: str, why: str
) -> None:
    directory.add_tag_key("project")
    with pytest.raises(DirectoryError, match=why):
        budget(directory, "b", tag)
    assert directory.budgets() == []
