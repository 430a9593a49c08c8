"""Named points of the code where a test lets this process die, fail or halt.

Off unless ``FAREGATE_FAILPOINTS`` names some: ``hit`` is then a function that does nothing.
On, the process says so in its log, and says what it does to itself before it does it. Decisions
are drawn from a seed: the n-th hit of a point in the n-th child of a process is always the same.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import orjson

from gateway.settings import SettingsError

POINTS = {
    "hold.placed": "a hold is placed, nothing is sent",
    "intent.written": "the intent of a hold is in SQL, nothing is sent",
    "upstream.sent": "the request is sent, nothing came back",
    "upstream.answered": "the headers of the answer came",
    "stream.first_byte": "the first bytes of a stream came",
    "hold.settling": "the cost is known, the hold is open",
    "hold.settled": "the hold is settled, the client waits for its answer",
    "hold.releasing": "the provider billed nothing, the hold is open",
    "hold.released": "the hold is released, the client waits for its answer",
    "hand_over.noted": "long-lived work is noted in Redis, not yet in SQL",
    "hand_over.moved": "long-lived work is in SQL, its hold is still the gateway's",
    "hand_over.done": "the hold belongs to the work, the client does not know of it",
    "objects.noted": "an owner is noted, its id has not reached the client",
    "objects.written": "an owner is in SQL, and still waits in Redis",
    "spool.written": "an ending is on disk, Redis does not have it",
    "spool.adopted": "a dead process's endings are read, none is brought",
    "recorder.read": "events are read, none is in SQL",
    "recorder.inserted": "events are in a transaction that is not committed",
    "recorder.committed": "events are in SQL, none is acknowledged",
    "recorder.acknowledged": "events are acknowledged",
    "expirer.found": "a lapsed hold is found, and not expired",
    "expirer.expired": "a hold is expired",
    "follower.asked": "the provider said how work stands, nothing is written down",
    "follower.settled": "work is settled, which is not written down",
    "rebuilder.recorded": "a new epoch is in SQL, the counters are not frozen",
    "rebuilder.frozen": "the counters are frozen",
    "rebuilder.placed": "holds are placed again, the counters are the old ones",
    "rebuilder.counted": "the counters are set, nothing is admitted",
    "rebuilder.reopened": "a new epoch has begun",
}
"""Every point, and what has happened when it is reached."""

PAUSE_SECONDS = 2.0
PAUSE_SECONDS_MAX = 60.0


class Action(StrEnum):
    """What becomes of a process that reaches a point."""

    KILL = "kill"
    RAISE = "raise"
    PAUSE = "pause"


class FailpointReached(Exception):
    """Raised on purpose, as if the code had failed here."""


@dataclass(frozen=True, slots=True)
class Failpoint:
    """What happens at one point, and how likely each time."""

    point: str
    action: Action
    chance: float = 1.0
    seconds: float = PAUSE_SECONDS


def parse(text: str) -> tuple[dict[str, Failpoint], str]:
    """The points that ``text`` turns on, and the seed.

    ``hold.placed=kill:0.01,recorder.read=pause:0.05:3,seed=7``: action, chance of each hit
    (1 where it is left out), seconds of a pause. Raises SettingsError.
    """
    found: dict[str, Failpoint] = {}
    seed = "0"
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, what = part.partition("=")
        if name == "seed":
            seed = what
            continue
        if name not in POINTS:
            raise SettingsError(f"FAREGATE_FAILPOINTS: there is no point {name!r}.")
        action, *numbers = what.split(":")
        try:
            found[name] = Failpoint(name, Action(action), *map(float, numbers))
        except (ValueError, TypeError):
            raise SettingsError(
                f"FAREGATE_FAILPOINTS: {part!r} is not point=action:chance:seconds with one of"
                f" {', '.join(Action)}."
            ) from None
        if not (0 <= found[name].chance <= 1 and 0 <= found[name].seconds <= PAUSE_SECONDS_MAX):
            raise SettingsError(
                f"FAREGATE_FAILPOINTS: {part!r} has a chance outside 0 to 1, or a pause of more"
                f" than {PAUSE_SECONDS_MAX:g} seconds."
            )
    return found, seed


def _off(_point: str) -> None:
    """What a hit costs where no failpoint is on."""


hit: Callable[[str], None] = _off
"""Say that a point is reached. Call it as ``failpoints.hit``: it is replaced when armed."""


class _Armed:
    """The failpoints of this process."""

    def __init__(self, on: dict[str, Failpoint], seed: str) -> None:
        self._on = on
        self._seed = seed
        self._line = "0"
        """Which child of which child this process is, counted from the armed one."""
        self._children = 0
        self._draws: dict[str, random.Random] = {}

    def hit(self, point: str) -> None:
        """Draw, and act on it."""
        failpoint = self._on.get(point)
        if failpoint is None:
            return
        draw = self._draws.get(point)
        if draw is None:
            draw = self._draws[point] = random.Random(f"{self._seed}/{self._line}/{point}")  # noqa: S311
        if draw.random() >= failpoint.chance:
            return
        self.say(f"failpoint.{failpoint.action.value}", point=point)
        if failpoint.action is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        elif failpoint.action is Action.PAUSE:
            time.sleep(failpoint.seconds)
        else:
            raise FailpointReached(point)

    def say(self, event: str, **fields: object) -> None:
        """Log straight to standard error: the next moment may be this process's last."""
        line = {"event": event, "level": "critical", "pid": os.getpid(), **fields}
        os.write(2, orjson.dumps(line) + b"\n")

    def say_on(self) -> None:
        """Warn of what this process may do to itself."""
        self.say(
            "failpoints.on",
            points=sorted(self._on),
            warning="this process breaks itself on purpose; FAREGATE_FAILPOINTS is for tests alone",
        )

    def before_fork(self) -> None:
        """Number the child that comes."""
        self._children += 1

    def after_fork(self) -> None:
        """In a child: draw anew, as this child."""
        self._line = f"{self._line}.{self._children}"
        self._children = 0
        self._draws.clear()
        if hit == self.hit:
            self.say_on()


def arm(text: str) -> None:
    """Turn on the points that ``text`` names, and those alone. Raises SettingsError."""
    global hit
    on, seed = parse(text)
    if not on:
        hit = _off
        return
    armed = _Armed(on, seed)
    os.register_at_fork(before=armed.before_fork, after_in_child=armed.after_fork)
    hit = armed.hit
    armed.say_on()
