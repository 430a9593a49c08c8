"""Which families of OpenAI's API the gateway does not serve, and why.

Each is refused until it is bounded, metered and owned; none is passed on unmetered.
"""

from __future__ import annotations

from collections.abc import Mapping

NOT_SERVED: Mapping[str, str] = {
    "assistants": "runs read threads and files whose size is not known beforehand",
    "threads": "runs read threads and files whose size is not known beforehand",
    "vector_stores": "storage is billed by the day and searches by the call",
    "conversations": "their items become input that is not known beforehand",
    "containers": "sessions are billed by time",
    "evals": "runs call models as often as they have samples",
    "graders": "they call models with input that is not known beforehand",
    "videos": "they are billed by seconds that are not known here yet",
    "realtime": "sessions are billed as they go, over a connection that is not metered here",
    "chatkit": "sessions are billed as they go, over a connection that is not metered here",
    "skills": "they run code whose cost is not known beforehand",
    "engines": "it was replaced by /v1/models",
    "edits": "it was replaced by /v1/chat/completions",
    "answers": "it was replaced by /v1/chat/completions",
    "classifications": "it was replaced by /v1/chat/completions",
    "fine-tunes": "it was replaced by /v1/fine_tuning/jobs",
    "organization": "of the organization, usage, costs, spend limits and spend alerts, and lists of"
    " projects, users and keys, are answered from what is recorded here (docs/usage-api.md); the"
    " rest is the provider's account, which is not its clients' to manage",
    "projects": "the provider's account is not its clients' to manage",
}
"""By the first part of the path below ``/v1/``."""


def why_not_served(path: str) -> str | None:
    """Why the family of a path is refused; None where no family of OpenAI's is meant."""
    if not path.startswith("/v1/"):
        return None
    return NOT_SERVED.get(path.split("/")[2])
