"""Which model a request names: allowed, known and priced, or a clear refusal."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.adapters.model_list import ModelList
from gateway.core.errors import BadRequest, Forbidden, ModelUnpriced
from gateway.core.objects import Kind, not_found
from gateway.core.policy import Client, Policy
from gateway.core.prices import Price
from gateway.web.current import services

NAME_MAX = 128


def priced_model(
    model: object, client: Client, policy: Policy, models: ModelList
) -> tuple[str, Price]:
    """The model's name and the price in force. Raises the ApiError that explains why not."""
    name = allowed_model(model, client)
    price = policy.prices.find(name, datetime.now(UTC))
    if price is not None:
        return name, price
    provided = models.get()
    if provided is not None and name not in provided:
        raise not_found(Kind.MODEL, name)
    raise ModelUnpriced(
        f"Model {name!r} has no price, so its cost cannot be bounded. A platform engineer can"
        f" add one: faregate price set {name} --input USD --output USD (per million tokens).",
        param="model",
    )


def allowed_model(model: object, client: Client) -> str:
    """The name of a model that ``client`` may use: a fine-tuned one only where it is its own.

    Raises BadRequest, Forbidden, ModelNotFound, StoreUnavailable.
    """
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
    if is_fine_tuned(model):
        # Here and not at the callers, so that no endpoint can forget it.
        services().gate.objects.find_model(client, model)
    return model


def is_fine_tuned(name: str) -> bool:
    """Whether a model's name is that of a fine-tuned one, which belongs to somebody.

    OpenAI begins such names with "ft:"; Azure puts ".ft-" after the base model's.
    """
    return name.startswith("ft:") or ".ft-" in name
