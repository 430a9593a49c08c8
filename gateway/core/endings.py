"""How requests ended, as values: they can be written down, brought later, and brought again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.holds import Hold, RateState


def hold_fields(hold: Hold) -> dict[str, Any]:
    """What settles ``hold`` later, as JSON fields."""
    return {
        "request_id": hold.request_id,
        "client_id": hold.client_id,
        "model": hold.model,
        "windows": [list(window) for window in hold.budget_windows],
        "granted": hold.granted_output_tokens,
        "amount": hold.amount_nano,
        "at": hold.reserved_at_ms,
        "placed_on": hold.placed_on,
        "context": json.loads(hold.context),
        "epoch": hold.epoch,
        "drawn_from": hold.drawn_from,
    }


def hold_from(fields: Mapping[str, Any]) -> Hold:
    """The hold that ``hold_fields`` wrote. Raises KeyError, TypeError or ValueError."""
    return Hold(
        request_id=str(fields["request_id"]),
        client_id=int(fields["client_id"]),
        model=str(fields["model"]),
        budget_windows=tuple((int(b), int(start)) for b, start in fields["windows"]),
        granted_output_tokens=int(fields["granted"]),
        amount_nano=int(fields["amount"]),
        reserved_at_ms=int(fields["at"]),
        left_nano=-1,
        rates=RateState(),
        placed_on=str(fields["placed_on"]),
        context=json.dumps(fields["context"], separators=(",", ":")).encode(),
        epoch=int(fields.get("epoch", 0)),
        drawn_from=str(fields.get("drawn_from", "")),
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one request: its hold settled at a cost, or released."""

    hold: Hold
    result: bytes
    """JSON that becomes part of the usage record."""
    released: bool = False
    cost_nano: int = 0
    tokens: int = -1
    """Tokens used, prompt and output; -1 where that is not known, as with the next."""
    output_tokens: int = -1

    def as_json(self) -> bytes:
        """The ending on one line."""
        fields = {
            **hold_fields(self.hold),
            "result": json.loads(self.result),
            "released": self.released,
            "cost": self.cost_nano,
            "tokens": self.tokens,
            "output_tokens": self.output_tokens,
        }
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Ending:
        """The ending that ``as_json`` wrote. Raises KeyError, TypeError or ValueError."""
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise TypeError("an ending is a JSON object")
        return cls(
            hold=hold_from(fields),
            result=json.dumps(fields["result"], separators=(",", ":")).encode(),
            released=bool(fields["released"]),
            cost_nano=int(fields["cost"]),
            tokens=int(fields["tokens"]),
            output_tokens=int(fields["output_tokens"]),
        )
