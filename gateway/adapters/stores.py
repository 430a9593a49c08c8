"""Where the stores are: the configured ones, or the embedded ones of the data folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from gateway.adapters.redis_folder import RedisFolder
from gateway.settings import Settings


class StoreNotRunning(Exception):
    """The embedded Redis is not running; the message says what to do."""


def embedded_folder(settings: Settings) -> Path:
    """The data folder of the embedded Redis."""
    return settings.data_dir.absolute() / "redis"


def redis_url_of(settings: Settings) -> str:
    """The Redis to use. Raises StoreNotRunning where it is the embedded one and not up."""
    if settings.redis_url is not None:
        return settings.redis_url
    socket = RedisFolder(embedded_folder(settings)).existing_socket()
    if socket is None:
        raise StoreNotRunning(
            f"The embedded Redis of {settings.data_dir} is not running. Start `faregate serve`,"
            " or set FAREGATE_REDIS_URL."
        )
    return f"unix://{quote(str(socket))}"
