"""Carries out a schedule on a deployment, each step at its time, and counts what it did."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import redis
from sqlalchemy.exc import SQLAlchemyError

from tests.faults.deployment import Deployment, signal_to
from tests.faults.plan import KILLS, Action, Step
from tests.faults.power import cut_tail, remove_data
from tests.faults.proxy import FaultProxy, Mode

_AT_ONCE = 16


class Breaking:
    """Breaks things by a schedule."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.kills: Counter[str] = Counter()
        self.other: Counter[str] = Counter()
        self.errors: list[str] = []
        """What went wrong in the rig itself."""
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._redis_guard = threading.Lock()

    def run(self, steps: Sequence[Step]) -> None:
        """Carry out ``steps``; returns when the last has ended."""
        begun = time.monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for step in steps:
                if self._stop.wait(max(0.0, begun + step.at - time.monotonic())):
                    return
                pool.submit(self._carry_out, step)

    def stop(self) -> None:
        """Carry out nothing more."""
        self._stop.set()

    def _carry_out(self, step: Step) -> None:
        try:
            done = self._do(step)
        except (redis.RedisError, SQLAlchemyError, OSError):
            # What it was to break is broken already.
            done = False
        except Exception:
            self.errors.append(f"{step}\n{traceback.format_exc()}")
            return
        if not done:
            return
        with self._lock:
            if step.action in KILLS:
                self.kills[KILLS[step.action]] += 1
            if step.action not in KILLS or step.action in (Action.CUT_REDIS, Action.EMPTY_REDIS):
                self.other[step.name] += 1

    def _do(self, step: Step) -> bool:
        rig = self.deployment
        if step.action is Action.KILL_WORKER:
            return signal_to(rig.a_worker(step.pick), signal.SIGKILL)
        if step.action is Action.KILL_RECORDER:
            return signal_to(rig.recorder_pid(), signal.SIGKILL)
        if step.action in (Action.KILL_MASTER, Action.KILL_MASTER_ALONE):
            return rig.replace_master(step.pick, alone=step.action is Action.KILL_MASTER_ALONE)
        if step.action is Action.PAUSE_WORKER:
            return self._pause(rig.a_worker(step.pick), step.seconds)
        if step.action is Action.PAUSE_RECORDER:
            return self._pause(rig.recorder_pid(), step.seconds)
        if step.action is Action.LOCK_SQL:
            with rig.sql_locked():
                self._wait(step.seconds)
            return True
        proxy = {
            Action.BREAK_REDIS: rig.redis_proxy,
            Action.BREAK_PROVIDER: rig.provider_proxy,
            Action.BREAK_SQL: rig.sql_proxy,
        }.get(step.action)
        if proxy is not None:
            return self._break(proxy, step)
        return self._redis(step)

    def _redis(self, step: Step) -> bool:
        folder = self.deployment.server.data_dir
        with self._redis_guard:
            if step.action is Action.WIPE_REDIS:
                return bool(self.deployment.redis().flushall())
            pid = self.deployment.server.pid
            if step.action is Action.PAUSE_REDIS:
                return self._pause(pid, step.seconds)
            after: Callable[[], object] = {
                Action.CUT_REDIS: lambda: cut_tail(folder, step.pick),
                Action.EMPTY_REDIS: lambda: remove_data(folder),
            }.get(step.action, lambda: None)
            os.kill(pid, signal.SIGKILL)
            self._wait(step.seconds)
            after()
            self.deployment.restart_redis()
            return True

    def _pause(self, pid: int | None, seconds: float) -> bool:
        if not signal_to(pid, signal.SIGSTOP):
            return False
        self._wait(seconds)
        signal_to(pid, signal.SIGCONT)
        return True

    def _break(self, proxy: FaultProxy, step: Step) -> bool:
        proxy.set(step.mode, step.amount)
        try:
            self._wait(step.seconds)
        finally:
            proxy.set(Mode.PASS)
        return True

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)


class Watch:
    """Looks at all counters again and again, past the proxies: no strict budget is ever over."""

    def __init__(self, deployment: Deployment, pause_seconds: float = 0.5) -> None:
        self.looks = 0
        self.over: dict[str, None] = {}
        self._deployment = deployment
        self._pause = pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> list[str]:
        """Stop looking; what was over its limit while requests were admitted."""
        self._stop.set()
        self._thread.join(10)
        return list(self.over)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            with contextlib.suppress(redis.RedisError, SQLAlchemyError):
                self._look()

    def _look(self) -> None:
        rig = self._deployment
        limits = strict_limits(rig)
        server = rig.redis()
        before = server.hget(rig.keys.state, "epoch")
        over = []
        for name in server.scan_iter(match=rig.keys.budget_pattern(), count=1000):
            found = server.hmget(name, "spent", "held")
            spent, held = (int(value or 0) for value in found)
            budget_id = int(name.decode().rsplit(":", 2)[1])
            limit = limits.get(budget_id)
            if limit is not None and spent + held > limit:
                over.append(f"budget {budget_id}: {spent} spent + {held} held, limit {limit}")
        # While counters are computed anew they are nobody's promise.
        if server.hmget(rig.keys.state, "epoch", "admits") == [before, b"1"]:
            self.looks += 1
            self.over.update(dict.fromkeys(over))


def strict_limits(rig: Deployment) -> dict[int, int]:
    """The limits of all strict budgets, by id."""
    rows = rig.directory.budgets(removed=True)
    return {row.id: row.limit_nano for row in rows if row.enforcement == "strict"}
