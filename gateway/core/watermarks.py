"""When a store counts as full, and when it no longer does."""

from __future__ import annotations

from dataclasses import dataclass

LEFT_PERCENT = 80
"""Requests are admitted again below this share of a mark, so that the verdict does not flutter."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A level at which admission stops."""

    what: str
    setting: str
    """The setting that sets it."""
    most: int

    def keeps_out(self, level: int, was_reached: bool) -> bool:
        """Whether requests are refused at ``level``; ``was_reached`` says whether they were."""
        if level >= self.most:
            return True
        return was_reached and level >= self.most * LEFT_PERCENT // 100


@dataclass(frozen=True, slots=True)
class Level:
    """A mark that keeps requests out, and how high it stands."""

    mark: Mark
    level: int

    def __str__(self) -> str:
        """The level and its mark, for people."""
        return f"{self.level:,} {self.mark.what}; the mark is {self.mark.most:,}"
