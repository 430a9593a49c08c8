from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.fine_tuning_request import job_request_of

GOOD: dict[str, Any] = {"model": "gpt-4o-mini-2024-07-18", "training_file": "file-x"}


def test_what_is_left_open_is_auto() -> None:
    wanted = job_request_of(GOOD | {"hyperparameters": {"n_epochs": 2}})
    assert wanted.method == "supervised"
    assert wanted.hyperparameters == {
        "n_epochs": 2,
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
    }
    assert wanted.seed >= 0
    assert job_request_of(GOOD | {"seed": 7, "integrations": [{"type": "wandb"}]}).seed == 7


def test_each_method_has_its_models_and_settings() -> None:
    dpo = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}
    assert job_request_of(GOOD | {"method": dpo}).hyperparameters["beta"] == 0.2
    reinforcement = {"type": "reinforcement", "reinforcement": {"grader": {"type": "x"}}}
    model = {"model": "o4-mini-2025-04-16", "method": reinforcement}
    assert job_request_of(GOOD | model).grader == {"type": "x"}
    for change in (
        {"model": "gpt-3.5-turbo-0125", "method": dpo},
        {"method": reinforcement},
        {"model": "o4-mini-2025-04-16"},
        {"model": "gpt-4o-mini"},
        {"model": "gpt-99"},
    ):
        with pytest.raises(ProviderError, match="not available for fine-tuning") as refused:
            job_request_of(GOOD | change)
        assert (refused.value.status, refused.value.code) == (400, "model_not_available")


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"training_file": None},
        {"validation_file": 3},
        {"seed": "x"},
        {"suffix": "x" * 65},
        {"suffix": "a:b"},
        {"suffix": 3},
        {"metadata": {"a": 1}},
        {"hyperparameters": 3},
        {"hyperparameters": {"n_epochs": 0}},
        {"hyperparameters": {"n_epochs": 51}},
        {"hyperparameters": {"n_epochs": 1.5}},
        {"hyperparameters": {"batch_size": True}},
        {"hyperparameters": {"learning_rate_multiplier": -1}},
        {"hyperparameters": {"beta": 0.1}},
        {"method": 3},
        {"method": {"type": "magic"}},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": 3}}},
        {"method": {"type": "supervised"}, "hyperparameters": {"n_epochs": 1}},
    ],
)
def test_bad_requests_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as refused:
        job_request_of(GOOD | change)
    assert refused.value.status == 400
