"""What breaks when: a schedule drawn from a seed, so that a failing run can be run again.

The same seed gives the same steps. Which request a step hits is up to the machine.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.faults.proxy import Mode


class Action(StrEnum):
    """What can be done to a deployment."""

    KILL_WORKER = "kill a gateway worker"
    KILL_MASTER = "kill a gateway with its workers"
    KILL_MASTER_ALONE = "kill a gateway master alone"
    KILL_RECORDER = "kill the recorder"
    KILL_REDIS = "kill Redis"
    PAUSE_WORKER = "pause a gateway worker"
    PAUSE_RECORDER = "pause the recorder"
    PAUSE_REDIS = "pause Redis"
    BREAK_REDIS = "break connections to Redis"
    BREAK_PROVIDER = "break connections to the provider"
    BREAK_SQL = "break connections to PostgreSQL"
    LOCK_SQL = "lock SQL"
    CUT_REDIS = "kill Redis and cut the tail of its file"
    EMPTY_REDIS = "kill Redis and remove its files"
    WIPE_REDIS = "FLUSHALL"


KILLS = {
    Action.KILL_WORKER: "gateway worker",
    Action.KILL_MASTER: "gateway",
    Action.KILL_MASTER_ALONE: "gateway",
    Action.KILL_RECORDER: "recorder",
    Action.KILL_REDIS: "Redis",
    Action.CUT_REDIS: "Redis",
    Action.EMPTY_REDIS: "Redis",
}
"""What an action kills. One action is one kill, however many processes die by it."""


@dataclass(frozen=True)
class Rate:
    """How often something happens in a minute, and for how long it lasts at least and at most."""

    per_minute: float
    shortest: float = 0.0
    longest: float = 0.0


RATES: Mapping[Action, Rate] = {
    Action.KILL_WORKER: Rate(80),
    Action.KILL_RECORDER: Rate(15),
    Action.KILL_MASTER: Rate(1.5),
    Action.KILL_MASTER_ALONE: Rate(0.5),
    Action.KILL_REDIS: Rate(1.5, 0.0, 1.5),
    Action.PAUSE_WORKER: Rate(3, 0.3, 5.0),
    Action.PAUSE_RECORDER: Rate(1, 0.5, 4.0),
    Action.PAUSE_REDIS: Rate(1, 0.3, 3.0),
    Action.BREAK_REDIS: Rate(4, 0.2, 2.0),
    Action.BREAK_PROVIDER: Rate(3, 0.2, 2.0),
}
SQL_RATES: Mapping[str, Mapping[Action, Rate]] = {
    "sqlite": {Action.LOCK_SQL: Rate(1, 0.5, 3.0)},
    "postgresql": {Action.LOCK_SQL: Rate(0.5, 0.5, 3.0), Action.BREAK_SQL: Rate(3, 0.2, 2.0)},
}
POWER_LOSS_RATES: Mapping[Action, Rate] = {
    Action.CUT_REDIS: Rate(1.0, 0.0, 1.0),
    Action.EMPTY_REDIS: Rate(0.5, 0.0, 1.0),
    Action.WIPE_REDIS: Rate(0.5),
}
"""Redis comes back older, or with nothing."""

SAME_THING = (
    {Action.KILL_REDIS, Action.PAUSE_REDIS, Action.CUT_REDIS, Action.EMPTY_REDIS},
    {Action.BREAK_REDIS},
    {Action.BREAK_PROVIDER},
    {Action.BREAK_SQL},
    {Action.LOCK_SQL},
)
"""Of each of these one lasts at a time."""

_AMOUNTS = {
    Mode.DELAY: (0.01, 0.3),
    Mode.CUT_REQUEST: (0, 3000),
    Mode.CUT_REPLY: (0, 600),
}


@dataclass(frozen=True)
class Step:
    """One thing that breaks, ``at`` seconds after the start, for ``seconds``."""

    at: float
    action: Action
    pick: float
    """Which of several it hits: a fraction of their number."""
    seconds: float = 0.0
    mode: Mode = Mode.PASS
    amount: float = 0.0

    @property
    def name(self) -> str:
        """What happens, for people."""
        return f"{self.action}: {self.mode}" if self.mode is not Mode.PASS else str(self.action)


def rates(database: str, *, power_loss: bool) -> dict[Action, Rate]:
    """How often everything happens that can happen to a deployment on ``database``."""
    return {**RATES, **SQL_RATES[database], **(POWER_LOSS_RATES if power_loss else {})}


def schedule(
    seed: str, seconds: float, often: Mapping[Action, Rate], *, factor: float = 1.0
) -> list[Step]:
    """The steps of a run, in order; everything happens ``factor`` times as often."""
    steps = [
        step
        for action, rate in sorted(often.items())
        for step in _steps(random.Random(f"{seed}/{action}"), seconds, action, rate, factor)
    ]
    return _one_at_a_time(sorted(steps, key=lambda step: (step.at, step.action)))


def _steps(
    chance: random.Random, seconds: float, action: Action, rate: Rate, factor: float
) -> Iterable[Step]:
    modes = [mode for mode in Mode if mode is not Mode.PASS]
    breaks = action in (Action.BREAK_REDIS, Action.BREAK_PROVIDER, Action.BREAK_SQL)
    at = 0.0
    while (at := at + chance.expovariate(rate.per_minute * factor / 60)) < seconds:
        pick, lasts = chance.random(), chance.uniform(rate.shortest, rate.longest)
        mode = chance.choice(modes) if breaks else Mode.PASS
        amount = round(chance.uniform(*_AMOUNTS.get(mode, (0, 0))), 3)
        yield Step(round(at, 3), action, pick, round(lasts, 3), mode, amount)


def _one_at_a_time(steps: Iterable[Step]) -> list[Step]:
    kept: list[Step] = []
    free = [0.0] * len(SAME_THING)
    for step in steps:
        place = next((n for n, same in enumerate(SAME_THING) if step.action in same), None)
        if place is not None:
            if step.at < free[place]:
                continue
            free[place] = step.at + step.seconds + 0.5
        kept.append(step)
    return kept


FAILPOINTS: Mapping[str, float] = {
    "hold.placed": 0.0008,
    "intent.written": 0.0008,
    "upstream.sent": 0.0008,
    "upstream.answered": 0.0008,
    "stream.first_byte": 0.0015,
    "hold.settling": 0.0008,
    "hold.settled": 0.0008,
    "hold.releasing": 0.003,
    "hold.released": 0.003,
    "hand_over.noted": 0.02,
    "hand_over.moved": 0.02,
    "hand_over.done": 0.02,
    "objects.noted": 0.003,
    "objects.written": 0.005,
    "spool.written": 0.02,
    "spool.adopted": 0.1,
    "recorder.read": 0.003,
    "recorder.inserted": 0.003,
    "recorder.committed": 0.003,
    "recorder.acknowledged": 0.003,
    "expirer.found": 0.003,
    "expirer.expired": 0.003,
    "follower.asked": 0.002,
    "follower.settled": 0.01,
    "rebuilder.recorded": 0.03,
    "rebuilder.frozen": 0.03,
    "rebuilder.placed": 0.03,
    "rebuilder.counted": 0.03,
    "rebuilder.reopened": 0.03,
}
"""How likely a process dies at each point, each time that it comes there."""


def failpoints(seed: str, *, factor: float = 1.0) -> str:
    """The setting that lets processes die at every point."""
    points = (f"{name}=kill:{min(chance * factor, 1):g}" for name, chance in FAILPOINTS.items())
    return ",".join([*points, f"seed={seed}"])
