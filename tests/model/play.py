"""Random moves on a real Redis, every step held against the model."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable

from tests.model.beside import Beside
from tests.model.deployment import Deployment
from tests.model.interruptions import Interruptions
from tests.model.model import Violation
from tests.model.requests import Requests

DEPLOYMENT_STEPS = 600
"""Steps until a deployment is left for a fresh one: its budgets are spent by then."""

TAIL = 40

Move = Callable[[], str]


class Play:
    """One deployment after the other, until enough steps are played.

    Each deployment follows from the seed and its number alone, so that one which went wrong can be
    played again without the others.
    """

    def __init__(self, url: str, seed: int, first: int = 0) -> None:
        self._seed = seed
        self._random = random.Random()
        self.deployments = first
        self._random.seed(self._of(first))
        self.at = Deployment(url, self._random)
        requests = Requests(self.at)
        self.beside = Beside(self.at)
        self._interruptions = Interruptions(self.at, requests, self.beside)
        self.moves: list[tuple[Move, float]] = [
            *requests.moves,
            *self.beside.moves,
            *self._interruptions.moves,
        ]
        self.played: Counter[str] = Counter()
        self.steps = 0
        self.tail: deque[str] = deque(maxlen=TAIL)
        """The last steps, for people who look for what went wrong."""

    def play(self, steps: int) -> None:
        """Play so many steps. Raises Violation."""
        moves, weights = zip(*self.moves, strict=True)
        for _ in range(steps):
            if self.steps and self.steps % DEPLOYMENT_STEPS == 0:
                self._next()
            self.at.another_gateway()
            move = self._random.choices(moves, weights)[0]
            name = move.__name__
            try:
                said = move()
                self.tail.append(f"{self.steps}: {name} {said}")
                self.played[name] += 1
                self.steps += 1
                self.at.check()
            except Violation:
                self.tail.append(f"{self.steps}: {name} went wrong")
                raise
            except Exception as error:
                raise Violation(f"{name} raised {type(error).__name__}: {error}") from error

    def _of(self, number: int) -> int:
        return self._seed << 32 | number

    def _next(self) -> None:
        self.at.check_records()
        self.deployments += 1
        self._random.seed(self._of(self.deployments))
        self.at.begin()
        self.beside.begin()
        self._interruptions.begin()
        self.tail.clear()
