"""Tells every replica of a change of policy: it is decided by within a second.

SQL has the change already. Where Redis does not answer, it is told as soon as it does, since nobody
else would: the gateways look at the version in Redis alone.
"""

from __future__ import annotations

import gevent
import structlog

from gateway.adapters.redis_budgets import StoreDown
from gateway.web.current import Services

AGAIN_SECONDS = 1.0

_log = structlog.get_logger(__name__)


def announce(at: Services, version: int) -> None:
    """Announce ``version``, now or as soon as Redis answers."""
    if not _announced(at, version):
        gevent.spawn(_until_announced, at, version)


def _announced(at: Services, version: int) -> bool:
    try:
        # A Redis without a policy has lost its counters; the recorder rebuilds them and writes
        # the version that SQL is at then.
        at.budgets.announce(version)
    except StoreDown as error:
        _log.warning("policy.announce_failed", version=version, reason=str(error))
        return False
    return True


def _until_announced(at: Services, version: int) -> None:
    while not _announced(at, version):
        gevent.sleep(AGAIN_SECONDS)
