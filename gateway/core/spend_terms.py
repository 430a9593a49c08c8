"""What spend limits and spend alerts are set to: whole cents of US dollars a month.

Source: OpenAI API reference, "Spend limit" and "Spend alerts" of organizations and projects.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from gateway.core.errors import BadRequest
from gateway.core.money import LIMIT_NANO_MAX

NANO_PER_CENT = 10_000_000
CENTS_MAX = LIMIT_NANO_MAX // NANO_PER_CENT
RECIPIENTS_MAX = 20

_OF_LIMITS = frozenset(("currency", "interval", "threshold_amount"))
_OF_ALERTS = _OF_LIMITS | {"notification_channel"}
_OF_CHANNELS = frozenset(("type", "recipients", "subject_prefix"))


def cents_of(nano: int) -> int:
    """Whole cents, rounded down: a budget set elsewhere need not be one."""
    return nano // NANO_PER_CENT


def limit_of(body: Mapping[str, Any]) -> int:
    """The nano-dollars that a spend limit is set to. Raises BadRequest."""
    return _amount(body, _OF_LIMITS)


def alert_of(body: Mapping[str, Any]) -> tuple[int, list[str]]:
    """The nano-dollars at which a spend alert is sent, and to which addresses. Raises BadRequest.

    Whether an address can be one is for whoever sends to it to say.
    """
    nano = _amount(body, _OF_ALERTS)
    channel = body.get("notification_channel")
    if not isinstance(channel, dict):
        raise BadRequest("notification_channel must be an object.", param="notification_channel")
    _refuse_unknown(channel, _OF_CHANNELS, "notification_channel.")
    if channel.get("type") != "email":
        raise BadRequest(
            "notification_channel.type must be email; webhooks are set up with"
            " `faregate alert channel`.",
            param="notification_channel.type",
        )
    if channel.get("subject_prefix"):
        raise BadRequest(
            "Subjects of alerts have no prefix here.", param="notification_channel.subject_prefix"
        )
    found = channel.get("recipients")
    if (
        not isinstance(found, list)
        or not 1 <= len(found) <= RECIPIENTS_MAX
        or not all(isinstance(one, str) for one in found)
    ):
        raise BadRequest(
            f"notification_channel.recipients must be 1 to {RECIPIENTS_MAX} e-mail addresses.",
            param="notification_channel.recipients",
        )
    return nano, list(dict.fromkeys(found))


def _amount(body: Mapping[str, Any], known: Set[str]) -> int:
    _refuse_unknown(body, known)
    for name, only in (("currency", "USD"), ("interval", "month")):
        if body.get(name) != only:
            raise BadRequest(f"{name} must be {only}.", param=name)
    cents = body.get("threshold_amount")
    if isinstance(cents, bool) or not isinstance(cents, int) or not 1 <= cents <= CENTS_MAX:
        raise BadRequest(
            f"threshold_amount must be whole cents, from 1 to {CENTS_MAX}.",
            param="threshold_amount",
        )
    return cents * NANO_PER_CENT


def _refuse_unknown(body: Mapping[str, Any], known: Set[str], prefix: str = "") -> None:
    if unknown := sorted(body.keys() - known):
        name = f"{prefix}{unknown[0][:80]}"
        raise BadRequest(f"Unknown parameter: {name!r}.", param=name)
