"""A fuzzer: how its inputs are made, and what must hold of each; and how it is run."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, NoReturn

import structlog

from tests.fuzz.inputs import random_of

CORPUS = Path(__file__).parent / "corpus"
CRASHES_MAX = 20
"""After so many a run ends: they are most likely one and the same."""


@dataclass(frozen=True)
class Fuzzer:
    """``check`` says whether an input was accepted, and raises where something is broken."""

    name: str
    make: Callable[[Random], bytes]
    check: Callable[[bytes], bool]
    quick_inputs: int = 5_000
    """Inputs of a short run, of about two seconds."""

    def input(self, seed: int, number: int) -> bytes:
        """One input of the run with this seed."""
        return self.make(random_of(self.name, seed, number))


@dataclass(frozen=True)
class Crash:
    """An input that broke something, and how."""

    number: int
    data: bytes
    error: str


@dataclass
class Run:
    """What a run has come to."""

    fuzzer: str
    seed: int
    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    crashes: list[Crash] = field(default_factory=list)

    @property
    def accepted_percent(self) -> float:
        return 100 * self.accepted / max(self.inputs, 1)


def run(fuzzer: Fuzzer, inputs: int, seed: int, first: int = 0) -> Run:
    """Try so many inputs, from the one with number ``first`` on."""
    done = Run(fuzzer.name, seed)
    begun = perf_counter()
    with unlogged():
        for number in range(first, first + inputs):
            data = fuzzer.input(seed, number)
            done.inputs += 1
            try:
                done.accepted += fuzzer.check(data)
            except Exception:
                done.crashes.append(Crash(number, data, traceback.format_exc()))
                if len(done.crashes) >= CRASHES_MAX:
                    break
    done.seconds = perf_counter() - begun
    return done


@contextmanager
def unlogged() -> Iterator[None]:
    """What is tried a million times is not logged each time."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: Any, _name: str, _event: MutableMapping[str, Any]) -> NoReturn:
    raise structlog.DropEvent


def keep(fuzzer: Fuzzer, crash: Crash) -> Path:
    """Keep what crashed as a regression input."""
    folder = CORPUS / fuzzer.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(crash.data).hexdigest()[:16]
    path.write_bytes(crash.data)
    return path


def kept(fuzzer: Fuzzer) -> list[Path]:
    """The regression inputs of a fuzzer."""
    return sorted((CORPUS / fuzzer.name).glob("*"))
