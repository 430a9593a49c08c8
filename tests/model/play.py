"""Random moves on a real Redis, every step held against the model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic

from tests.model.beside import Beside
from tests.model.deployment import Deployment
from tests.model.interruptions import Interruptions
from tests.model.model import Violation
from tests.model.requests import Requests

DEPLOYMENT_STEPS = 600
"""Steps until a deployment is left for a fresh one: its budgets are spent by then."""

SHRINK_SECONDS = 60.0

Move = Callable[[], str]


class Play:
    """One deployment after the other, until enough steps are played.

    What a step does follows from the seed, the deployment's number and its own, and from what the
    steps before it have left. So a deployment that went wrong can be played again without those
    before it, and without most of its own steps.
    """

    def __init__(self, url: str, seed: int, first: int = 0) -> None:
        self._seed = seed
        self._random = random.Random()
        self.deployments = first
        self.at = Deployment(url, self._random)
        requests = Requests(self.at)
        self.beside = Beside(self.at)
        self._interruptions = Interruptions(self.at, requests, self.beside)
        self.moves: list[tuple[Move, float]] = [
            *requests.moves,
            *self.beside.moves,
            *self._interruptions.moves,
        ]
        self._names, self._weights = zip(*self.moves, strict=True)
        self.played: Counter[str] = Counter()
        self.steps = 0
        self.numbers: list[int] = []
        """The steps of this deployment."""
        self.said: list[str] = []
        """What they did."""

    def play(self, steps: int) -> None:
        """Play so many steps. Raises Violation."""
        for _ in range(steps):
            if len(self.numbers) == DEPLOYMENT_STEPS:
                self.at.check_records()
                self.deployments += 1
                self.begin()
            self.step(len(self.numbers))

    def begin(self) -> None:
        """Begin a deployment, and leave the one before."""
        self.at.begin()
        self.beside.begin()
        self._interruptions.begin()
        self.numbers.clear()
        self.said.clear()

    def step(self, number: int) -> None:
        """Play one step of this deployment. Raises Violation."""
        self.numbers.append(number)
        self._random.seed((self._seed << 32 | self.deployments) << 32 | number)
        self.at.another_gateway()
        move = self._random.choices(self._names, self._weights)[0]
        name = move.__name__
        try:
            said = move()
            self.said.append(f"{number}: {name} {said}")
            self.played[name] += 1
            self.steps += 1
            self.at.check()
        except Violation:
            self.said.append(f"{number}: {name} went wrong")
            raise
        except Exception as error:
            raise Violation(f"{name} raised {type(error).__name__}: {error}") from error

    def shrink(self, seconds: float = SHRINK_SECONDS) -> Violation | None:
        """Play what went wrong again with ever fewer steps, for so long; ``said`` is then what
        the fewest did, and the answer how that went wrong."""
        until = monotonic() + seconds
        kept = list(self.numbers)
        size = len(kept) // 2
        while size and monotonic() < until:
            before = len(kept)
            for start in range(len(kept) - size, -1, -size):
                fewer = kept[:start] + kept[start + size :]
                if monotonic() < until and self._fails(fewer) is not None:
                    kept = list(self.numbers)
            if size > 1 or len(kept) == before:
                size //= 2
        return self._fails(kept)

    def _fails(self, numbers: Iterable[int]) -> Violation | None:
        self.begin()
        for number in list(numbers):
            try:
                self.step(number)
            except Violation as violation:
                return violation
        return None
