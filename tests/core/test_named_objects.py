from __future__ import annotations

from typing import Any

import pytest

from gateway.core.named_objects import (
    checkpoint_models,
    described,
    file_ids_in,
    file_of_upload,
    files_of_batch,
    is_whole,
    results_of_job,
    spoken_answers_in,
)
from gateway.core.objects import Found, Kind

FILE = {"id": "file-1", "object": "file", "created_at": 5, "bytes": 3, "purpose": "batch"}


def test_an_answer_that_describes_an_object_is_that_object() -> None:
    assert described(Kind.FILE, FILE) == (Found(Kind.FILE, "file-1", 5, data=FILE),)
    batch = {"id": "batch_1", "object": "batch", "created_at": 6, "model": "m"}
    assert described(Kind.BATCH, batch) == (Found(Kind.BATCH, "batch_1", 6, "m", batch),)


@pytest.mark.parametrize(
    "answer", [{}, {**FILE, "object": "batch"}, {**FILE, "id": None}, {"object": "file"}]
)
def test_an_answer_of_another_kind_is_none(answer: dict[str, Any]) -> None:
    assert described(Kind.FILE, answer) == ()


def test_a_completed_upload_is_a_file() -> None:
    assert file_of_upload({"object": "upload", "file": FILE})[0].id == "file-1"
    assert file_of_upload({"object": "upload", "file": None}) == ()


@pytest.mark.parametrize(
    ("times", "at"),
    [({"completed_at": 9}, 9), ({"expired_at": 8}, 8), ({"cancelled_at": 7}, 7), ({}, 1)],
)
def test_a_batch_names_its_output_and_its_errors(times: dict[str, int], at: int) -> None:
    batch = {"created_at": 1, "output_file_id": "file-o", "error_file_id": "file-e", **times}
    found = files_of_batch(batch)
    assert [(one.kind, one.id, one.created_at) for one in found] == [
        (Kind.FILE, "file-o", at),
        (Kind.FILE, "file-e", at),
    ]
    assert found[0].data == {"id": "file-o", "object": "file", "purpose": "batch_output"}
    assert not is_whole(found[0].data)
    assert is_whole(FILE)


def test_a_running_batch_names_nothing() -> None:
    assert files_of_batch({"output_file_id": None, "error_file_id": None}) == []


def test_a_job_names_its_model_and_its_results() -> None:
    job = {
        "created_at": 1,
        "finished_at": 4,
        "fine_tuned_model": "ft:m:org::1",
        "organization_id": "org-1",
        "result_files": ["file-r", 7],
    }
    model, results = results_of_job(job)
    assert model.data == {
        "id": "ft:m:org::1",
        "object": "model",
        "created": 4,
        "owned_by": "org-1",
    }
    assert (model.kind, model.id, model.created_at) == (Kind.MODEL, "ft:m:org::1", 4)
    assert (results.kind, results.id) == (Kind.FILE, "file-r")
    assert results_of_job({"fine_tuned_model": None, "result_files": []}) == []


def test_checkpoints_are_models() -> None:
    page = {"data": [{"fine_tuned_model_checkpoint": "ft:m:o::1:ckpt-step-8", "created_at": 3}, {}]}
    (found,) = checkpoint_models(page)
    assert (found.kind, found.id, found.created_at) == (Kind.MODEL, "ft:m:o::1:ckpt-step-8", 3)
    assert checkpoint_models({"data": None}) == []


# Ids in requests


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"messages": [{"role": "user", "content": "file_id"}]}, []),
        (
            {"messages": [{"content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            [("file-1", "messages[0].content[0].file.file_id")],
        ),
        (
            {"messages": [{"attachments": [{"file_id": "file-2"}]}]},
            [("file-2", "messages[0].attachments[0].file_id")],
        ),
        (
            {"container": {"file_ids": ["a", "b", 3]}},
            [("a", "container.file_ids"), ("b", "container.file_ids")],
        ),
        ({"tools": [{"function": {"parameters": {"file_id": "x"}}}]}, []),
        ({"metadata": {"file_id": "x"}}, []),
        ({"messages": [{"content": [{"file_id": {"type": "string"}}]}]}, []),
    ],
)
def test_files_are_found_wherever_the_provider_could_read_them(
    body: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert list(file_ids_in(body)) == found


def test_earlier_spoken_answers_are_named_by_messages_alone() -> None:
    said = {"role": "assistant", "audio": {"id": "audio_1"}}
    plain = {"role": "user", "content": "And then?"}
    body = {"audio": {"voice": "alloy", "format": "wav"}, "messages": [said, plain, "odd"]}
    assert list(spoken_answers_in(body)) == [("audio_1", "messages[0].audio.id")]


@pytest.mark.parametrize("audio", [{}, {"id": None}, "audio_1", ["audio_1"]])
def test_a_spoken_answer_without_an_id_is_named_as_one_that_nobody_has(audio: object) -> None:
    body = {"messages": [{"role": "assistant", "audio": audio}]}
    assert list(spoken_answers_in(body)) == [(None, "messages[0].audio.id")]


@pytest.mark.parametrize("body", [{}, {"messages": None}, {"messages": [{"audio": None}]}])
def test_a_body_without_spoken_answers(body: dict[str, Any]) -> None:
    assert list(spoken_answers_in(body)) == []
