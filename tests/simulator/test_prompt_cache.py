from __future__ import annotations

from gateway.simulator.prompt_cache import PromptCache


def test_short_prompts_are_not_cached() -> None:
    cache = PromptCache()
    ids = list(range(1_023))
    assert cache.look_up_and_store("m", ids, 1_023) == (0, 0)
    assert cache.look_up_and_store("m", ids, 1_023) == (0, 0)


def test_the_longest_known_prefix_counts_in_whole_steps() -> None:
    cache = PromptCache()
    assert cache.look_up_and_store("m", list(range(1_300)), 1_300) == (0, 1_280)
    assert cache.look_up_and_store("m", list(range(1_500)), 1_500) == (1_280, 128)
    changed = [*range(1_100), *range(5_000, 5_400)]
    assert cache.look_up_and_store("m", changed, 1_500) == (1_024, 384)


def test_scopes_do_not_share() -> None:
    cache = PromptCache()
    cache.look_up_and_store("m", list(range(2_000)), 2_000)
    assert cache.look_up_and_store("other", list(range(2_000)), 2_000)[0] == 0


def test_cached_tokens_never_exceed_the_prompt() -> None:
    cache = PromptCache()
    ids = list(range(2_000))
    cache.look_up_and_store("m", ids, 2_000)
    assert cache.look_up_and_store("m", ids, 1_100) == (1_024, 0)
