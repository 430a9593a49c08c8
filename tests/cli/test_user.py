from __future__ import annotations

from click.testing import CliRunner

from gateway.adapters.accounts import Accounts
from gateway.adapters.audit_log import entries
from gateway.adapters.passwords import check_password
from gateway.cli.main import main
from tests.cli.rig import Faregate

PASSWORD = "correct horse battery"


def stored(faregate: Faregate, email: str) -> str | None:
    found = Accounts(faregate.engine).find(email)
    assert found is not None
    return found[1]


def create(faregate: Faregate, *words: str) -> str:
    password: str = faregate.ask("user", "create", *words, "--generate")["password"]
    return password


def test_a_password_that_is_made_up_is_shown_once_and_works(faregate: Faregate) -> None:
    shown = faregate.run("user", "create", "Ann@acme.example", "--role", "admin", "--generate")
    password = shown.stdout.split("shown this once:")[1].strip()
    assert check_password(stored(faregate, "ann@acme.example"), password)
    assert password not in faregate.run("user", "list").stdout
    assert password not in str(faregate.ask("user", "list"))


def test_a_password_is_asked_for_twice_and_never_shown(sqlite_faregate: Faregate) -> None:
    words = ["user", "create", "ann@acme.example", "--role", "admin"]
    result = CliRunner().invoke(main, words, input=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    assert check_password(stored(sqlite_faregate, "ann@acme.example"), PASSWORD)


def test_a_password_is_read_from_a_pipe(sqlite_faregate: Faregate) -> None:
    words = ["user", "create", "ann@acme.example", "--role", "admin", "--password-stdin"]
    assert CliRunner().invoke(main, words, input=f"{PASSWORD}\n").exit_code == 0
    assert check_password(stored(sqlite_faregate, "ann@acme.example"), PASSWORD)


def test_a_short_password_is_refused(sqlite_faregate: Faregate) -> None:
    words = ["user", "create", "ann@acme.example", "--role", "admin", "--password-stdin"]
    for given in ("short", "", "aaaaaaaaaaaaaaa", "ann@acme.example"):
        result = CliRunner().invoke(main, words, input=f"{given}\n")
        assert result.exit_code == 1
        assert "a password" in result.stderr
    assert sqlite_faregate.ask("user", "list") == []


def test_an_account_for_the_identity_provider_has_no_password(sqlite_faregate: Faregate) -> None:
    words = ("--role", "owner", "--team", "research", "--no-password")
    sqlite_faregate.run("user", "create", "oz@acme.example", *words)
    (row,) = sqlite_faregate.ask("user", "list")
    assert (row["team"], row["has_password"], row["from_provider"]) == ("research", False, False)
    assert "provider, not yet" in sqlite_faregate.run("user", "list").stdout


def test_what_an_account_cannot_be(sqlite_faregate: Faregate) -> None:
    create(sqlite_faregate, "ann@acme.example", "--role", "admin")

    def refused(email: str, *words: str) -> str:
        return sqlite_faregate.refused("user", "create", email, *words, "--no-password")

    assert "is an account ann@acme.example already" in refused(
        "ANN@acme.example", "--role", "finance"
    )
    assert "is not an e-mail address" in refused("ann", "--role", "admin")
    assert "an owner is of a team" in refused("oz@acme.example", "--role", "owner")
    assert "there is no team 'x'" in refused("oz@acme.example", "--role", "owner", "--team", "x")
    assert "only an owner has one" in refused(
        "fay@acme.example", "--role", "finance", "--team", "research"
    )
    sqlite_faregate.run("user", "create", "x@acme.example", "--role", "client", code=2)
    sqlite_faregate.run(
        *("user", "create", "x@acme.example", "--role", "admin", "--generate", "--no-password"),
        code=2,
    )


def test_a_password_is_replaced(sqlite_faregate: Faregate) -> None:
    old = create(sqlite_faregate, "ann@acme.example", "--role", "admin")
    new = sqlite_faregate.ask("user", "password", "ann@acme.example", "--generate")["password"]
    assert not check_password(stored(sqlite_faregate, "ann@acme.example"), old)
    assert check_password(stored(sqlite_faregate, "ann@acme.example"), new)
    assert "there is no account" in sqlite_faregate.refused(
        "user", "password", "nobody@acme.example", "--generate"
    )


def test_disabling_and_enabling(sqlite_faregate: Faregate) -> None:
    create(sqlite_faregate, "ann@acme.example", "--role", "admin")
    sqlite_faregate.run("user", "disable", "ann@acme.example")
    assert Accounts(sqlite_faregate.engine).find("ann@acme.example") is None
    assert sqlite_faregate.ask("user", "list")[0]["state"] == "disabled"
    assert "disabled already" in sqlite_faregate.refused("user", "disable", "ann@acme.example")
    sqlite_faregate.run("user", "enable", "ann@acme.example")
    assert stored(sqlite_faregate, "ann@acme.example")
    assert "is not disabled" in sqlite_faregate.refused("user", "enable", "ann@acme.example")


def test_changing_a_role(sqlite_faregate: Faregate) -> None:
    create(sqlite_faregate, "ann@acme.example", "--role", "admin")
    sqlite_faregate.run(
        "user", "change", "ann@acme.example", "--role", "owner", "--team", "research"
    )
    (row,) = sqlite_faregate.ask("user", "list")
    assert (row["role"], row["team"]) == ("owner", "research")


def test_every_change_is_in_the_audit_log_without_the_password(
    sqlite_faregate: Faregate,
) -> None:
    password = create(sqlite_faregate, "ann@acme.example", "--role", "admin")
    sqlite_faregate.run("user", "password", "ann@acme.example", "--generate")
    sqlite_faregate.run("user", "change", "ann@acme.example", "--role", "finance")
    sqlite_faregate.run("user", "disable", "ann@acme.example")
    sqlite_faregate.run("user", "enable", "ann@acme.example")
    found = [e for e in entries(sqlite_faregate.engine).entries if e.subject == "user"]
    assert [entry.action for entry in reversed(found)] == [
        "create",
        "set_password",
        "change",
        "disable",
        "enable",
    ]
    assert all(entry.actor.startswith("cli:") for entry in found)
    assert all(entry.subject_name == "ann@acme.example" for entry in found)
    assert found[2].changed == {"role": ("admin", "finance")}
    assert password not in str(found)
    assert "scrypt" not in str(found)


def test_with_nobody_the_list_says_how_to_begin(sqlite_faregate: Faregate) -> None:
    assert "faregate user create" in sqlite_faregate.run("user", "list").stderr
