from __future__ import annotations

import pytest

from gateway.web.openai.model_access import is_fine_tuned


@pytest.mark.parametrize(
    "name",
    ["ft:gpt-4o-2024-08-06:acme::abc", "ft:x", "gpt-4o-mini-2024-07-18.ft-0123456789abcdef"],
)
def test_names_of_fine_tuned_models(name: str) -> None:
    assert is_fine_tuned(name)


@pytest.mark.parametrize("name", ["gpt-4o", "left:gpt-4o", "gpt-4o-ft", "fine-tuning/gpt-4o", ""])
def test_names_of_models_that_anyone_may_use(name: str) -> None:
    assert not is_fine_tuned(name)
