"""/v1/fine_tuning/jobs: the training file is counted, and the epochs written into the request."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from flask import Blueprint, Response

from gateway.core.catalog import facts_for
from gateway.core.errors import Forbidden, ModelUnpriced
from gateway.core.named_objects import checkpoint_models, described, results_of_job
from gateway.core.objects import Kind
from gateway.core.policy import Client, Policy
from gateway.core.prices import Price
from gateway.core.training import (
    BYTES_MAX,
    KNOWN_OF_JOBS,
    PARAM,
    bound_training,
    count_training,
    epochs_for,
    method_of,
    with_epochs,
)
from gateway.exchange import Exchange
from gateway.relay_long import begin
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import check_fields
from gateway.web.openai.model_access import allowed_model
from gateway.web.openai.objects import content_of, list_of, on_object
from gateway.web.serving import serve

blueprint = Blueprint("fine_tuning", __name__)

JOBS = "fine_tuning/jobs"


@blueprint.post("/v1/fine_tuning/jobs")
def create_job() -> Response:
    """Authenticate, check, count and bound; then the job begins, and keeps its hold."""
    at = services()
    return serve(at, partial(prepare, at), begin)


def prepare(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    settings = at.gate.settings
    client, key = authenticate(policy, at.budgets)
    _check_permission(client)
    body, _ = json_object(settings)
    check_fields(body, KNOWN_OF_JOBS, settings)
    method = method_of(body)
    model, price = _trainable(body.get("model"), client, policy)
    if (validation := body.get("validation_file")) is not None:
        at.gate.objects.find(client, Kind.FILE, validation, "validation_file")
    content = content_of(at, client, body.get(PARAM), PARAM, BYTES_MAX)
    facts = facts_for(model)
    count = at.gate.tokenizer.counter(facts)
    limits = (settings.body_bytes_max, settings.json_depth_max)
    data = at.contents.read(
        content, lambda lines: count_training(lines, method, facts, count, *limits)
    )
    epochs = method.epochs or epochs_for(data.examples)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint=JOBS,
        model=model,
        body=with_epochs(body, method, epochs),
        bound=bound_training(price, data, epochs),
        price=price,
        facts=facts,
        owns=partial(described, Kind.FINE_TUNING_JOB),
        headers=forwarded_headers(settings),
    )


def _check_permission(client: Client) -> None:
    if not client.may_fine_tune:
        raise Forbidden(
            f"Client {client.name!r} may not fine-tune models. A platform engineer can allow it:"
            f" faregate client set {client.name} --fine-tuning"
        )


def _trainable(model: object, client: Client, policy: Policy) -> tuple[str, Price]:
    """The model to train and what training it costs. Raises ApiError."""
    name = allowed_model(model, client)
    price = policy.prices.find(f"fine-tuning/{name}", datetime.now(UTC))
    if price is None:
        raise ModelUnpriced(
            f"There is no price for training {name!r}, so its cost cannot be bounded. A platform"
            f" engineer can add one: faregate price set fine-tuning/{name} --help.",
            param="model",
        )
    return name, price


@blueprint.get("/v1/fine_tuning/jobs")
def list_jobs() -> Response:
    """The client's own jobs, the newest first."""
    return list_of(services(), Kind.FINE_TUNING_JOB, endpoint=JOBS, filters=("metadata",))


@blueprint.get("/v1/fine_tuning/jobs/<job_id>")
def retrieve_job(job_id: str) -> Response:
    """One job. The model and files that it names belong to its owner."""
    return on_object(services(), Kind.FINE_TUNING_JOB, job_id, endpoint=JOBS, owns=results_of_job)


@blueprint.get("/v1/fine_tuning/jobs/<job_id>/events")
def list_events(job_id: str) -> Response:
    """What has happened to one job."""
    return on_object(
        services(),
        Kind.FINE_TUNING_JOB,
        job_id,
        endpoint=JOBS,
        suffix="/events",
        query=("after", "limit"),
    )


@blueprint.get("/v1/fine_tuning/jobs/<job_id>/checkpoints")
def list_checkpoints(job_id: str) -> Response:
    """The checkpoints of one job, whose models belong to its owner."""
    return on_object(
        services(),
        Kind.FINE_TUNING_JOB,
        job_id,
        endpoint=JOBS,
        suffix="/checkpoints",
        query=("after", "limit"),
        owns=checkpoint_models,
    )


@blueprint.post("/v1/fine_tuning/jobs/<job_id>/cancel")
def cancel_job(job_id: str) -> Response:
    """Cancel one job; what it has trained by then is charged."""
    return _changed(job_id, "/cancel")


@blueprint.post("/v1/fine_tuning/jobs/<job_id>/pause")
def pause_job(job_id: str) -> Response:
    """Pause one job."""
    return _changed(job_id, "/pause")


@blueprint.post("/v1/fine_tuning/jobs/<job_id>/resume")
def resume_job(job_id: str) -> Response:
    """Let one job go on."""
    return _changed(job_id, "/resume")


def _changed(job_id: str, suffix: str) -> Response:
    return on_object(
        services(),
        Kind.FINE_TUNING_JOB,
        job_id,
        endpoint=JOBS,
        suffix=suffix,
        method="POST",
        owns=results_of_job,
    )
