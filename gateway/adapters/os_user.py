"""Who runs a command: whoever can read the database's credentials may do everything."""

from __future__ import annotations

import os
import pwd

from gateway.core.roles import Principal, Role


def command_line() -> Principal:
    """The user of the operating system that this process belongs to, as an admin."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        # Containers often run as a number without a name.
        name = str(number)
    return Principal(actor=f"cli:{name}"[:ACTOR_LENGTH], role=Role.ADMIN)


ACTOR_LENGTH = 160
"""As the column of the audit log."""
