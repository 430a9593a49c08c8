"""/v1/batches: every line is read and bounded before the provider runs any of them."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response

from gateway.core.batch_lines import (
    BYTES_MAX,
    KNOWN_OF_BATCHES,
    PARAM,
    LineRules,
    batch_rates,
    bound_lines,
    first_model,
    in_line,
    line_kind,
)
from gateway.core.bounds import Bound
from gateway.core.catalog import facts_for
from gateway.core.errors import ApiError
from gateway.core.holds import Hold
from gateway.core.named_objects import described, files_of_batch
from gateway.core.objects import Kind
from gateway.core.policy import Policy
from gateway.exchange import Exchange, Gate, Reply
from gateway.relay_long import begin
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import bound_rules, check_fields
from gateway.web.openai.model_access import priced_model
from gateway.web.openai.objects import content_of, list_of, on_object
from gateway.web.serving import serve

blueprint = Blueprint("batches", __name__)


@blueprint.post("/v1/batches")
def create_batch() -> Response:
    """Authenticate, read and bound all lines; then the batch begins, and keeps its hold."""
    at = services()
    return serve(at, partial(prepare, at), _begin)


def prepare(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    settings = at.gate.settings
    client, key = authenticate(policy, at.budgets)
    body, _ = json_object(settings)
    check_fields(body, KNOWN_OF_BATCHES, settings)
    line_kind(body.get("endpoint"))
    content = content_of(at, client, body.get(PARAM), PARAM, BYTES_MAX)
    limits = (settings.body_bytes_max, settings.json_depth_max)
    number, named = at.contents.read(content, lambda lines: first_model(lines, *limits))
    try:
        model, price = priced_model(named, client, policy, at.models)
    except ApiError as error:
        raise in_line(number, error) from None
    facts = facts_for(model)
    tier, rates = batch_rates(price)
    count = at.gate.tokenizer.counter(facts)
    rules, unknown_pass = bound_rules(settings), settings.passes_unknown_fields
    by = LineRules(model, rates, facts, count, client, rules, unknown_pass)
    found = at.contents.read(
        content, lambda lines: bound_lines(lines, body["endpoint"], by, *limits)
    )
    for (kind, name), place in found.named.items():
        at.gate.objects.find(client, kind, name, place)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="batches",
        model=model,
        body=body,
        # No tokens: a batch is no rate, and is limited by OpenAI apart from other requests too.
        bound=Bound(input_tokens=0, fixed_nano=found.nano, tier=tier),
        price=price,
        facts=facts,
        owns=partial(described, Kind.BATCH),
        headers=forwarded_headers(settings),
    )


def _begin(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    return begin(gate, exchange, hold, endpoint=exchange.body["endpoint"])


@blueprint.get("/v1/batches")
def list_batches() -> Response:
    """The client's own batches, the newest first."""
    return list_of(services(), Kind.BATCH, endpoint="batches")


@blueprint.get("/v1/batches/<batch_id>")
def retrieve_batch(batch_id: str) -> Response:
    """One batch. The files that it names belong to its owner before anyone reads of them."""
    return on_object(services(), Kind.BATCH, batch_id, endpoint="batches", owns=files_of_batch)


@blueprint.post("/v1/batches/<batch_id>/cancel")
def cancel_batch(batch_id: str) -> Response:
    """Cancel one batch; what it has done by then is charged."""
    return on_object(
        services(),
        Kind.BATCH,
        batch_id,
        endpoint="batches",
        suffix="/cancel",
        method="POST",
        owns=files_of_batch,
    )
