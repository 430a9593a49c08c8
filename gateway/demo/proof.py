"""What the provider itself says it did, for the audit at the demo's end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select

from gateway.adapters.tables import usage_records
from gateway.core.usage import Usage
from gateway.demo.real_model import CountersUnreadable, read_counters
from gateway.demo.watch import Scene
from gateway.simulator.truth import read_truth
from gateway.workers.audit_report import Charge


def simulated_charges(truth_log: Path) -> list[Charge]:
    """Every charge of the simulation, by the gateway's request ids."""
    return [
        Charge(
            row.client_request_id or row.request_id,
            Usage(
                input_tokens=row.prompt_tokens,
                cached_input_tokens=row.cached_tokens,
                cache_write_tokens=row.cache_write_tokens,
                audio_input_tokens=row.audio_prompt_tokens,
                image_input_tokens=row.image_tokens,
                output_tokens=row.completion_tokens,
                reasoning_tokens=row.reasoning_tokens,
                accepted_prediction_tokens=row.accepted_prediction_tokens,
                rejected_prediction_tokens=row.rejected_prediction_tokens,
                trained_tokens=row.units.get("trained_tokens", 0),
            ),
            row.service_tier,
        )
        for row in read_truth(truth_log)
    ]


def count_overruns(engine: Engine) -> int:
    """Recorded requests that cost more than was held for them. Must be 0."""
    c = usage_records.c
    query = select(func.count()).where(c.cost_nano > c.hold_nano)
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


@dataclass(frozen=True, slots=True)
class Proof:
    """A comparison and its result in words."""

    holds: bool
    text: str


def compare_real_model(port: int, scene: Scene) -> Proof:
    """Whether the recorded tokens are those that the model server counted itself."""
    try:
        counted = read_counters(port)
    except CountersUnreadable as error:
        return Proof(False, f"Nothing to compare with: {error}.")
    holds = (counted.input_tokens, counted.output_tokens) == (
        scene.input_tokens,
        scene.output_tokens,
    )
    text = (
        f"The model server counted {counted.input_tokens:,} tokens in and"
        f" {counted.output_tokens:,} out; recorded are {scene.input_tokens:,} and"
        f" {scene.output_tokens:,}: {'the same' if holds else 'NOT THE SAME'}."
    )
    return Proof(holds, text)
