"""The calls that the demo's traffic is made of, and how often each comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gateway.demo.real_model import MODEL

Kind = Literal["chat", "stream", "hang_up", "embeddings"]

STRANGER = "stranger"
"""Not a client: calls with a key that nobody made."""


FINISH_SECONDS = 20.0
"""How long calls in flight may take once no more are made."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the calls go, with which keys, and how many there are."""

    base_url: str
    keys: dict[str, str]
    real: bool
    per_second: float
    in_flight_max: int


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of call of one client. ``weight`` is its share of the traffic."""

    weight: int
    client: str
    kind: Kind
    model: str
    prompt: str
    tools: bool = False
    output_tokens_max: int | None = None
    answer_tokens: int | None = None
    """How long the simulation shall answer; None leaves it to the simulation."""


TAGS = {
    "ranker": "project=storefront, env=prod",
    "indexer": "project=storefront, env=batch",
    "chatbot": "project=helpdesk, env=prod",
    "triage": "project=helpdesk, env=prod",
    "notebook": "project=tides, env=dev",
}
"""What each client sends in ``x-faregate-tags``."""

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "description": "Looks up an order by its number.",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "string", "description": "As on the invoice"}},
                "required": ["number"],
            },
        },
    }
]

_LONG = "Compare these two findings, name what contradicts and what agrees. " * 12

SIMULATED = (
    Call(8, "ranker", "chat", "gpt-4o-mini", "Rank these five results for 'red shoes'."),
    Call(6, "ranker", "chat", "gpt-3.5-turbo", "Is 'blau' a colour? Answer yes or no.",
         output_tokens_max=16),
    Call(4, "ranker", "stream", "gpt-4.1", "Why is result two better than result one?"),
    Call(6, "indexer", "embeddings", "text-embedding-3-small", "A chapter about rivers. " * 20),
    Call(8, "chatbot", "stream", "gpt-4o-mini", "환불은 언제 받을 수 있나요? 주문 1042번입니다."),
    Call(5, "chatbot", "stream", "gpt-5-mini", "배송이 늦어지는 이유를 설명해 주세요."),
    Call(4, "chatbot", "hang_up", "gpt-4o-mini", "Tell me everything about returns.",
         answer_tokens=120),
    Call(5, "triage", "chat", "gpt-4o-mini", "Where is order 1042?", tools=True),
    Call(3, "triage", "chat", "gpt-3.5-turbo", "Sort this ticket: the parcel came open."),
    Call(2, "triage", "chat", "gpt-4.1", "Sort this ticket with the large model."),
    Call(6, "notebook", "chat", "gpt-4.1", _LONG, answer_tokens=160),
    Call(4, "notebook", "stream", "gpt-5-mini", "Draft an abstract on tidal energy."),
    Call(2, STRANGER, "chat", "gpt-4o-mini", "Let me in."),
)  # fmt: skip

REAL = (
    Call(6, "ranker", "chat", MODEL, "Which is larger, a river or a lake?", output_tokens_max=40),
    Call(4, "ranker", "stream", MODEL, "Name three red fruits.", output_tokens_max=48),
    Call(6, "chatbot", "stream", MODEL, "How do I return a pair of shoes?", output_tokens_max=60),
    Call(3, "chatbot", "hang_up", MODEL, "Tell me about returns.", output_tokens_max=60),
    Call(2, "chatbot", "chat", MODEL, "환불은 언제 받을 수 있나요?", output_tokens_max=24),
    Call(4, "triage", "chat", MODEL, "Sort this: the parcel came open.", output_tokens_max=40),
    Call(1, "triage", "chat", "gpt-4.1", "Sort this ticket with the large model."),
    Call(4, "notebook", "stream", MODEL, "Write a line on tidal energy.", output_tokens_max=48),
    Call(1, STRANGER, "chat", MODEL, "Let me in."),
)
