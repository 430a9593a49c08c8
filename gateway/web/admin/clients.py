"""Clients of the admin API, with their rate limits and allowed models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Row

from gateway.adapters.directory import Directory
from gateway.adapters.directory_facts import client_facts
from gateway.adapters.directory_pages import clients_page
from gateway.core.errors import Forbidden
from gateway.web.admin.endpoint import WRITERS, Api, Call, NoBody, NoQuery, not_found
from gateway.web.admin.fields import (
    COUNT_MAX,
    UNSENT,
    AmountText,
    Answer,
    Body,
    Count,
    Dollars,
    ETag,
    Id,
    Listed,
    MomentText,
    Name,
    NextCursor,
    Patch,
    Pattern,
    QueryId,
    Text,
)
from gateway.web.admin.lists import listed, part_of, tagged
from gateway.web.admin.teams import Removed

api = Api("clients", "Consumers of the API: what they may use, and their rate limits.")

AllowanceUsd = Annotated[int, Dollars(4, COUNT_MAX)]

Models = Annotated[
    list[Pattern],
    Field(max_length=500, description="Patterns such as gpt-4o*; an empty list allows all models."),
]


class Client(Answer):
    """A client. Limits of 0 are none."""

    id: int
    name: str
    team_id: int
    team: str
    allowed_models: list[str]
    requests_per_minute: int
    tokens_per_minute: int
    concurrent_requests: int
    default_output_tokens: int
    output_floor_tokens: int
    clamp_output: bool
    may_fine_tune: bool
    outage_allowance_usd: AmountText
    created_at: MomentText
    etag: ETag


class Clients(Answer):
    """A page of clients, by id."""

    data: list[Client]
    next: NextCursor


class ClientsQuery(Listed):
    """Which clients."""

    team_id: QueryId | None = None
    name: Text | None = None


class NewClient(Body):
    """A client to make. Limits of 0 are none."""

    team_id: Id
    name: Name
    allowed_models: Models = []
    requests_per_minute: Count = 0
    tokens_per_minute: Count = 0
    concurrent_requests: Count = 0
    default_output_tokens: Count = Field(
        0, description="Output to allow where a request names no maximum; 0: the model's maximum."
    )
    output_floor_tokens: Count = Field(
        0, description="Refuse rather than shorten answers below it; 0: the deployment's."
    )
    clamp_output: bool = Field(
        False, description="Whether a tight budget may lower a maximum that a request names itself."
    )
    may_fine_tune: bool = False
    outage_allowance_usd: AllowanceUsd = Field(
        0, description="What each gateway worker sets aside, to be spent while Redis is away."
    )


class ClientChange(Patch):
    """What to change of a client. Allowed models replace the ones it had."""

    name: Name = UNSENT
    allowed_models: Models = UNSENT
    requests_per_minute: Count = UNSENT
    tokens_per_minute: Count = UNSENT
    concurrent_requests: Count = UNSENT
    default_output_tokens: Count = UNSENT
    output_floor_tokens: Count = UNSENT
    clamp_output: bool = UNSENT
    may_fine_tune: bool = UNSENT
    outage_allowance_usd: AllowanceUsd = UNSENT


def client_answer(row: Row[Any]) -> Client:
    """A row of the directory as it is answered."""
    return tagged(Client, client_facts(row))


def seen_client(call: Call[Any, Any], client_id: int) -> Row[Any]:
    """The client, if there is one and it may be seen. Raises NotFound, DirectoryError."""
    row = call.sql(call.directory.client, client_id)
    if not call.principal.sees_client(row.team_id, client_id):
        raise not_found("client", client_id)
    return row


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    """What was sent, as columns of the directory."""
    columns = {name: value for name, value in given.items() if name not in ("team_id", "name")}
    if "outage_allowance_usd" in columns:
        columns["outage_allowance_nano"] = columns.pop("outage_allowance_usd")
    return columns


@api.endpoint("GET", "/clients", query=ClientsQuery, answer=Clients)
def list_clients(call: Call[ClientsQuery, NoBody]) -> Clients:
    """List clients.

    An owner sees those of the own team.
    """
    part = part_of(call.query)
    team_ids = (call.query.team_id, call.principal.team_scope())
    page = call.sql(
        lambda: clients_page(call.at.engine, part, name=call.query.name, team_ids=team_ids)
    )
    return listed(Clients, page, client_answer)


@api.endpoint("POST", "/clients", body=NewClient, answer=Client, roles=WRITERS, status=201)
def create_client(call: Call[NoQuery, NewClient]) -> Client:
    """Make a client of a team."""
    body = call.body
    if not call.principal.may_change_client(body.team_id):
        raise Forbidden("You may make clients of your own team alone.", param="team_id")
    limits = _columns({name: getattr(body, name) for name in NewClient.model_fields})

    def make(directory: Directory) -> Row[Any]:
        return directory.client(directory.create_client(body.team_id, body.name, **limits))

    return client_answer(call.change(make))


@api.endpoint("GET", "/clients/<int:client_id>", answer=Client)
def read_client(call: Call[NoQuery, NoBody], client_id: int) -> Client:
    """Read a client."""
    return client_answer(seen_client(call, client_id))


@api.endpoint("PATCH", "/clients/<int:client_id>", body=ClientChange, answer=Client, roles=WRITERS)
def change_client(call: Call[NoQuery, ClientChange], client_id: int) -> Client:
    """Change a client's name, limits or allowed models.

    It takes effect with the next request, on every replica.
    """
    seen_client(call, client_id)
    given = call.body.given()
    name, limits = given.get("name"), _columns(given)

    def make(directory: Directory) -> Row[Any]:
        directory.change_client(client_id, new_name=name, seen=call.seen, **limits)
        return directory.client(client_id)

    return client_answer(call.change(make))


@api.endpoint("DELETE", "/clients/<int:client_id>", answer=Removed, roles=WRITERS)
def remove_client(call: Call[NoQuery, NoBody], client_id: int) -> Removed:
    """Remove a client.

    Its keys stop at once and its budgets are removed; its usage records stay.
    """
    seen_client(call, client_id)
    call.change(lambda directory: directory.remove_client(client_id, seen=call.seen))
    return Removed(id=client_id)
