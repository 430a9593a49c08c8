from __future__ import annotations

import pytest

from gateway.demo.real_model import (
    CountersUnreadable,
    ServerCounters,
    counters_in,
    read_counters,
)
from tests.processes import find_free_port

PAGE = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 36
llamacpp:prompt_tokens_cached_total 34
llamacpp:prompt_seconds_total 0.496517
llamacpp:tokens_predicted_total 1.2e+06
"""


def test_input_is_what_was_read_and_what_was_cached() -> None:
    assert counters_in(PAGE) == ServerCounters(70, 1_200_000)


def test_a_missing_counter_is_not_zero() -> None:
    with pytest.raises(CountersUnreadable, match="prompt_tokens_cached_total"):
        counters_in(PAGE.replace("cached_total", "other_total"))


def test_a_server_that_is_gone() -> None:
    with pytest.raises(CountersUnreadable):
        read_counters(find_free_port())
