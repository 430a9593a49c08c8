"""Which model a request names: allowed, known and priced, or a clear refusal."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.adapters.model_list import ModelList
from gateway.core.errors import BadRequest, Forbidden, ModelNotFound, ModelUnpriced
from gateway.core.policy import Client, Policy
from gateway.core.prices import Price

NAME_MAX = 128


def priced_model(
    model: object, client: Client, policy: Policy, models: ModelList
) -> tuple[str, Price]:
    """The model's name and the price in force. Raises the ApiError that explains why not."""
    if not isinstance(model, str) or not model:
        raise BadRequest("You must provide a model parameter, a string.", param="model")
    if len(model) > NAME_MAX:
        raise BadRequest(f"The model's name is longer than {NAME_MAX} characters.", param="model")
    if not client.may_use(model):
        raise Forbidden(
            f"Client {client.name!r} may not use model {model!r}; it may use"
            f" {', '.join(client.allowed_models)}. Ask a platform engineer for more.",
            param="model",
            code="model_not_allowed",
        )
    price = policy.prices.find(model, datetime.now(UTC))
    if price is not None:
        return model, price
    provided = models.get()
    if provided is not None and model not in provided:
        raise ModelNotFound(
            f"The model {model!r} does not exist or you do not have access to it.", param="model"
        )
    raise ModelUnpriced(
        f"Model {model!r} has no price, so its cost cannot be bounded. A platform engineer can"
        f" add one: faregate price set {model} --input USD --output USD (per million tokens).",
        param="model",
    )
