"""The kinds of long-lived work, and how each is followed."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.objects import Kind
from gateway.core.progress import Follow
from gateway.core.response_progress import follow_response

FOLLOWED: Mapping[Kind, Follow] = {
    Kind.RESPONSE: follow_response,
}
