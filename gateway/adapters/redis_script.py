"""Lua scripts in files, called by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

_LUA = Path(__file__).parent / "lua"

_NEED_ROOM = frozenset(("reserve", "claim", "keep_answer"))
"""Scripts that a Redis without memory refuses. The others end what has begun, and must not be
refused: what they write makes room in the end."""


class Script:
    """One script, called by its hash; sent whole only when the server does not know it."""

    def __init__(self, name: str, *, with_hold: bool = False) -> None:
        prelude = (_LUA / "_hold.lua").read_text() if with_hold else ""
        head = "" if name in _NEED_ROOM else "#!lua flags=allow-oom\n"
        self.source = head + prelude + (_LUA / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer. Raises redis-py's errors."""
        try:
            return client.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return client.execute_command("EVAL", self.source, len(keys), *keys, *args)
