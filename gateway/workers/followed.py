"""The kinds of long-lived work, and how each is followed."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.batch_progress import follow_batch
from gateway.core.objects import Kind
from gateway.core.progress import Follow
from gateway.core.response_progress import follow_response
from gateway.core.training_progress import follow_job

FOLLOWED: Mapping[Kind, Follow] = {
    Kind.BATCH: follow_batch,
    Kind.FINE_TUNING_JOB: follow_job,
    Kind.RESPONSE: follow_response,
}
