"""Holds what a deployment recorded against what the provider charged, once all is quiet.

Pure: it compares what others have read, by the published prices and nothing of the gateway's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.simulator.truth import Charge
from tests.e2e.money import billed_nano, usd

Window = tuple[int, int]
"""Budget id, and start in milliseconds."""

EXACT, LABELS = "exact", ("estimated", "unknown")
MANY_CHARGES = ("batches", "fine_tuning/jobs")
"""Endpoints where one request is charged many times."""


@dataclass(frozen=True)
class Row:
    """One usage record."""

    request_id: str
    kind: str
    cost_nano: int
    hold_nano: int
    certainty: str
    endpoint: str
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Limit:
    """One strict budget."""

    name: str
    limit_nano: int


@dataclass(frozen=True)
class Found:
    """Everything that a verdict is about."""

    charges: Mapping[str, Sequence[Charge]]
    """What the provider charged, by request id."""
    rows: Sequence[Row]
    limits: Mapping[int, Limit]
    """The strict budgets by id."""
    spent: Mapping[Window, int]
    """Redis's counters."""
    held: Mapping[Window, int]
    open_holds: int = 0
    waiting: int = 0
    """Usage events that are not recorded, and endings that are in no Redis."""
    over_seen: Sequence[str] = ()
    """Budgets that were seen to be over their limit while requests were admitted."""
    audit: Sequence[str] = ()
    """What the gateway's own audit found to differ."""
    power_lost: bool = False
    """Whether Redis lost what it had answered for, while those that knew it died too."""


@dataclass
class Verdict:
    """What is wrong, request by request and budget by budget; empty lists are good news."""

    requests: int = 0
    charged: int = 0
    charged_nano: int = 0
    recorded_nano: int = 0
    exact: int = 0
    """Charged requests that are recorded to the nano-dollar and say so."""
    labelled: int = 0
    """Charged requests that are recorded at an upper bound and say so."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    over_budget: list[str] = field(default_factory=list)
    above_by_labels: list[str] = field(default_factory=list)
    """Budgets that the provider's charges keep, and labelled upper bounds do not: no promise is
    broken, where a settled cost was lost with all who knew it and its hold is charged instead."""
    unlabelled: list[str] = field(default_factory=list)
    """Records that are neither exact nor a labelled upper bound."""
    overruns: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> dict[str, list[str]]:
        """What is wrong, by what it is; empty where nothing is."""
        found = {
            "lost": self.lost,
            "doubled": self.doubled,
            "over budget": self.over_budget,
            "not labelled": self.unlabelled,
            "above its hold": self.overruns,
            "not settled": self.unsettled,
            "audit": self.audit,
        }
        return {name: items for name, items in found.items() if items}

    @property
    def ok(self) -> bool:
        """Whether everything is as promised."""
        return not self.wrong


def judge(found: Found) -> Verdict:
    """Compare everything with everything."""
    verdict = Verdict(audit=list(found.audit))
    by_request: dict[str, list[Row]] = defaultdict(list)
    for row in found.rows:
        by_request[row.request_id].append(row)
    truth = {name: billed_nano(charges) for name, charges in found.charges.items()}
    verdict.requests = len(by_request)
    verdict.charged, verdict.charged_nano = len(truth), sum(truth.values())
    verdict.recorded_nano = sum(row.cost_nano for row in found.rows)
    for name, charges in found.charges.items():
        if name not in by_request:
            verdict.lost.append(f"{name}: the provider charged ${usd(truth[name])}, no record")
        elif len(charges) > 1 and by_request[name][0].endpoint not in MANY_CHARGES:
            verdict.doubled.append(f"{name}: was sent to the provider {len(charges)} times")
    for name, rows in by_request.items():
        _judge_request(verdict, name, rows, truth.get(name))
    _judge_budgets(verdict, found, truth)
    return verdict


def _judge_request(verdict: Verdict, name: str, rows: Sequence[Row], truth: int | None) -> None:
    kinds = Counter(row.kind for row in rows)
    if kinds["request"] != 1 or kinds["correction"] > 1:
        verdict.doubled.append(f"{name}: has the records {dict(kinds)}")
    last = max(rows, key=lambda row: row.kind == "correction")
    cost, charged = sum(row.cost_nano for row in rows), truth or 0
    is_right = cost == charged if last.certainty == EXACT else cost >= charged
    if not is_right or (last.certainty != EXACT and last.certainty not in LABELS):
        verdict.unlabelled.append(
            f"{name}: recorded ${usd(cost)} as {last.certainty}, the provider charged"
            f" ${usd(charged)}"
        )
    elif truth is not None and last.certainty == EXACT:
        verdict.exact += 1
    elif truth is not None:
        verdict.labelled += 1
    hold = rows[0].hold_nano
    if max(cost, charged) > hold:
        verdict.overruns.append(f"{name}: cost ${usd(max(cost, charged))}, held ${usd(hold)}")


def _judge_budgets(verdict: Verdict, found: Found, truth: Mapping[str, int]) -> None:
    recorded, charged = _by_window(found.rows, truth)
    above = verdict.above_by_labels if found.power_lost else verdict.over_budget
    for window, spent in sorted(found.spent.items()):
        if spent > recorded[window]:
            verdict.doubled.append(
                f"budget {window[0]}: Redis counts ${usd(spent)}, records ${usd(recorded[window])}"
            )
        elif spent < recorded[window]:
            verdict.lost.append(
                f"budget {window[0]}: Redis counts ${usd(spent)}, records ${usd(recorded[window])}"
            )
    for window in sorted({*recorded, *charged, *found.spent}):
        limit = found.limits.get(window[0])
        if limit is None:
            continue
        counted = found.spent.get(window, 0) + found.held.get(window, 0)
        said = (
            f"budget {limit.name}: limit ${usd(limit.limit_nano)}, counted ${usd(counted)},"
            f" recorded ${usd(recorded[window])}, charged ${usd(charged[window])}"
        )
        if charged[window] > limit.limit_nano:
            verdict.over_budget.append(said)
        elif max(counted, recorded[window]) > limit.limit_nano:
            above.append(said)
    above += found.over_seen
    verdict.unsettled += [
        f"budget {window[0]}: ${usd(held)} is still held"
        for window, held in sorted(found.held.items())
        if held
    ]
    if found.open_holds:
        verdict.unsettled.append(f"{found.open_holds} holds are open")
    if found.waiting:
        verdict.unsettled.append(f"{found.waiting} events or endings wait")


def _by_window(
    rows: Iterable[Row], truth: Mapping[str, int]
) -> tuple[Counter[Window], Counter[Window]]:
    """What was recorded, and what the provider charged, in each budget window."""
    recorded: Counter[Window] = Counter()
    charged: Counter[Window] = Counter()
    for row in rows:
        for window in row.windows:
            recorded[window] += row.cost_nano
            if row.kind == "request":
                charged[window] += truth.get(row.request_id, 0)
    return recorded, charged
