from __future__ import annotations

import os
import pwd

import pytest

from gateway.adapters.os_user import command_line
from gateway.core.roles import Role


def test_a_command_acts_as_the_user_of_the_system() -> None:
    found = command_line()
    assert found.actor == f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    assert (found.role, found.team_id, found.address) == (Role.ADMIN, None, None)


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert command_line().actor == f"cli:{2**31 - 7}"
