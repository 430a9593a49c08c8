from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from gateway.core.batch_lines import KNOWN_OF_BATCHES, line_kind
from gateway.core.errors import BadRequest
from gateway.core.training import KNOWN_OF_JOBS, method_of
from gateway.web.descriptions.objects import OPERATIONS
from gateway.web.openai.checks import FILE_PURPOSES, check_file_purpose
from gateway.web.openai.files import LIST_MAX
from gateway.web.openai.objects import page_wish
from tests.web.descriptions.routes import allows, names_in

JOB: dict[str, Any] = {"model": "gpt-4o-mini", "training_file": "file-1"}


def test_the_fields_are_those_of_the_endpoint() -> None:
    assert names_in(OPERATIONS["batches.create_batch"]) == KNOWN_OF_BATCHES
    assert names_in(OPERATIONS["fine_tuning.create_job"]) == KNOWN_OF_JOBS


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("hyperparameters", {"n_epochs": "auto"}, {"n_epochs": 0}),
        ("hyperparameters", {"n_epochs": 50}, {"n_epochs": 51}),
        ("hyperparameters", {"batch_size": "auto"}, []),
        ("method", {"type": "dpo"}, {"type": "reinforcement"}),
        ("method", {"type": "dpo", "dpo": None}, {"type": "dpo", "dpo": 1}),
        ("method", {"type": "dpo", "dpo": {}}, {"type": "dpo", "dpo": []}),
        ("integrations", [], [{"type": "wandb"}]),
    ],
)
def test_a_job_is_described_as_it_is_checked(field: str, good: object, bad: object) -> None:
    shape = OPERATIONS["fine_tuning.create_job"].json
    assert shape is not None
    assert allows(shape, {**JOB, field: good})
    assert not allows(shape, {**JOB, field: bad})
    method_of({**JOB, field: good})
    with pytest.raises(BadRequest):
        method_of({**JOB, field: bad})


def test_a_batch_is_of_the_endpoints_that_can_be_bounded() -> None:
    shape = OPERATIONS["batches.create_batch"].json
    assert shape is not None
    (named,) = (shape["properties"]["endpoint"]["enum"],)
    for endpoint in named:
        line_kind(endpoint)
    with pytest.raises(BadRequest):
        line_kind("/v1/images/generations")
    asked = {"input_file_id": "file-1", "completion_window": "24h"}
    assert not allows(shape, {**asked, "endpoint": "/v1/images/generations"})


@pytest.mark.parametrize("name", ["files.upload_file", "uploads.create_upload"])
def test_purposes_are_those_that_a_client_may_give(name: str) -> None:
    shape = OPERATIONS[name].form or OPERATIONS[name].json
    assert shape is not None
    assert shape["properties"]["purpose"]["enum"] == list(FILE_PURPOSES)
    with pytest.raises(BadRequest):
        check_file_purpose("batch_output")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("files.list_files", LIST_MAX),
        ("batches.list_batches", 100),
        ("fine_tuning.list_jobs", 100),
        ("stored_completions.list_completions", 100),
    ],
)
def test_a_page_is_described_as_it_is_checked(name: str, most: int) -> None:
    shapes = {query.name: query.shape for query in OPERATIONS[name].query}
    assert allows(shapes["limit"], most)
    for limit in (0, most + 1):
        assert not allows(shapes["limit"], limit)
        with Flask("page").test_request_context(f"/?limit={limit}"), pytest.raises(BadRequest):
            page_wish(most, 20)
    assert not allows(shapes["order"], "up")
    with Flask("page").test_request_context("/?order=up"), pytest.raises(BadRequest):
        page_wish(most, 20)
