"""The provider's automatic prompt cache, for its effect on usage.

Source: OpenAI docs, "Prompt caching": prompts of 1024 tokens or more; a repeated prefix counts
as cached in steps of 128 tokens. Unlike the real one, nothing is forgotten by time, so that the
same requests in the same order always give the same counts.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from hashlib import blake2b

CACHED_TOKENS_MIN = 1_024
CACHED_TOKENS_STEP = 128
PREFIXES_MAX = 200_000


class PromptCache:
    """Remembers prompt prefixes by their hash."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def look_up_and_store(self, scope: str, ids: list[int], tokens: int) -> tuple[int, int]:
        """Cached tokens of a prompt, and tokens newly put in the cache.

        ``scope`` keeps models (and cache keys) apart; ``tokens`` is the billed prompt length,
        which the counts never exceed.
        """
        if tokens < CACHED_TOKENS_MIN:
            return 0, 0
        packed = array("I", ids).tobytes()
        width = array("I").itemsize
        digest = blake2b(scope.encode(), digest_size=16)
        cached = stored = start = 0
        for end in range(CACHED_TOKENS_MIN, len(ids) + 1, CACHED_TOKENS_STEP):
            digest.update(packed[start * width : end * width])
            start = end
            key = digest.digest()
            if key in self._seen:
                cached = end
            else:
                self._seen[key] = None
                stored = end
        while len(self._seen) > PREFIXES_MAX:
            self._seen.popitem(last=False)
        limit = tokens // CACHED_TOKENS_STEP * CACHED_TOKENS_STEP
        cached = min(cached, limit)
        return cached, max(0, min(stored, limit) - cached)
