"""The life of one fine-tuning job: validating_files, queued, running, and one of three ends.

Training goes in a few even strides, so that a job can be paused, or cancelled with a known share
of it done. What is trained is charged once, before the job is shown to have ended: the tokens for
supervised and dpo, the seconds of training for reinforcement, as the provider bills them.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

import gevent
from gevent.event import Event

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.blobs import Blob
from gateway.simulator.files import Files
from gateway.simulator.fine_tuning_request import JobRequest
from gateway.simulator.listing import random_id
from gateway.simulator.models import ORGANIZATION, add_tuned_model, find_model
from gateway.simulator.training_data import (
    BadTrainingFile,
    TrainingData,
    epochs_for,
    read_training_data,
)
from gateway.simulator.truth import Charge, TruthLog

STRIDES = 20
CHECKPOINTS = 3
"""The provider keeps those of the last three epochs."""
NAMESPACE = "simulated"
"""Stands for the organization in the names of fine-tuned models."""

BEFORE = 0.125
"""Share of a job's time that validating takes, and queueing too ..."""
BEFORE_SECONDS_MAX = 0.5
"""... but each no longer than this; training has the rest."""
_AUTO = {
    "learning_rate_multiplier": 1.8,
    "beta": 0.1,
    "compute_multiplier": 1.0,
    "eval_interval": 5,
    "eval_samples": 2,
    "reasoning_effort": "default",
}
"""What "auto" turns out to be, where it does not depend on the file."""


@dataclass(slots=True)
class Job:
    """A job and how far it is. Times are seconds since 1970."""

    id: str
    request: JobRequest
    creator: Charge
    """The marks of the request that created it, for its charge."""
    seconds: float
    """How long it takes in all."""
    created_at: int
    status: str = "validating_files"
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    finished_at: int | None = None
    estimated_finish: int | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    error: dict[str, Any] | None = None
    result_files: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    cancelled: Event = field(default_factory=Event)
    going: Event = field(default_factory=Event)
    """Not set while the job is paused."""
    ended: Event = field(default_factory=Event)

    def say(
        self,
        message: str,
        *,
        level: str = "info",
        kind: str = "message",
        data: dict[str, Any] | None = None,
    ) -> None:
        """Add an event."""
        self.events.append(
            {
                "object": "fine_tuning.job.event",
                "id": random_id("ftevent-"),
                "created_at": int(time.time()),
                "level": level,
                "message": message,
                "data": data or {},
                "type": kind,
            }
        )

    def shown(self) -> dict[str, Any]:
        """The ``fine_tuning.job`` object."""
        request = self.request
        settings: dict[str, Any] = {"hyperparameters": self.hyperparameters}
        if request.method == "reinforcement":
            settings["grader"] = request.grader
        shared = ("n_epochs", "batch_size", "learning_rate_multiplier")
        return {
            "object": "fine_tuning.job",
            "id": self.id,
            "model": request.model,
            "created_at": self.created_at,
            "finished_at": self.finished_at,
            "fine_tuned_model": self.fine_tuned_model,
            "organization_id": ORGANIZATION,
            "result_files": self.result_files,
            "status": self.status,
            "validation_file": request.validation_file,
            "training_file": request.training_file,
            "hyperparameters": {name: self.hyperparameters[name] for name in shared},
            "trained_tokens": self.trained_tokens,
            "error": self.error or {},
            "user_provided_suffix": request.suffix,
            "seed": request.seed,
            "estimated_finish": self.estimated_finish,
            "integrations": [],
            "metadata": request.metadata,
            "method": {"type": request.method, request.method: settings},
        }


class JobRun:
    """Runs one job from its creation to its end."""

    def __init__(
        self,
        job: Job,
        training: Blob,
        validation: Blob | None,
        files: Files,
        log: TruthLog,
        tokenizer: Tokenizer,
    ) -> None:
        self._job = job
        self._training = training
        self._validation = validation
        self._files = files
        self._log = log
        self._tokenizer = tokenizer
        self._base = find_model(job.request.model)
        self._before = min(BEFORE_SECONDS_MAX, job.seconds * BEFORE)
        self._training_seconds = job.seconds - 2 * self._before
        self._data = TrainingData(0, 0)
        self._stride = 0
        self._steps = 1

    def __call__(self) -> None:
        """Return when the job has ended."""
        try:
            self._run()
        finally:
            self._job.ended.set()

    def _run(self) -> None:
        job = self._job
        job.say(f"Created fine-tuning job: {job.id}")
        job.say(f"Validating training file: {job.request.training_file}")
        try:
            self._data = self._read(self._training)
            if self._validation is not None:
                self._read(self._validation)
        except BadTrainingFile as bad:
            self._fail(bad)
            return
        if job.cancelled.wait(self._before):
            self._end("cancelled")
            return
        self._settle_hyperparameters()
        job.status = "queued"
        job.say("Files validated, moving job to queued state")
        if job.cancelled.wait(self._before) or not self._await_resumption():
            self._end("cancelled")
            return
        job.status = "running"
        job.estimated_finish = int(time.time() + self._training_seconds)
        job.say("Fine-tuning job started")
        self._end("succeeded" if self._train() else "cancelled")

    def _read(self, content: Blob) -> TrainingData:
        """On a thread, so that a large file does not stall the others."""
        given = (content, self._job.request.method, self._base, self._tokenizer)
        data: TrainingData = gevent.get_hub().threadpool.apply(read_training_data, given)
        return data

    def _fail(self, bad: BadTrainingFile) -> None:
        job = self._job
        param = "validation_file" if self._data.examples else "training_file"
        job.error = {"code": bad.code, "message": bad.message, "param": param}
        job.say(bad.message, level="error")
        job.finished_at = int(time.time())
        job.status = "failed"

    def _settle_hyperparameters(self) -> None:
        """Give every "auto" its value."""
        values, examples = self._job.hyperparameters, self._data.examples
        auto = {
            **_AUTO,
            "n_epochs": epochs_for(examples),
            "batch_size": max(1, examples // 500),
        }
        for name, value in values.items():
            values[name] = auto[name] if value == "auto" else value
        self._steps = math.ceil(examples / values["batch_size"]) * values["n_epochs"]

    def _train(self) -> bool:
        """Train stride by stride; False where the job was cancelled on the way."""
        job = self._job
        for stride in range(1, STRIDES + 1):
            if job.cancelled.wait(self._training_seconds / STRIDES):
                return False
            if not self._await_resumption():
                return False
            self._stride = stride
            metrics = self._metrics(self._steps * stride // STRIDES or 1)
            message = f"Step {metrics['step']}/{self._steps}: training loss={metrics['train_loss']}"
            job.say(message, kind="metrics", data=metrics)
        return True

    def _await_resumption(self) -> bool:
        """Wait while the job is paused; False where it is cancelled."""
        job = self._job
        job.going.wait()
        return not job.cancelled.is_set()

    def _metrics(self, step: int) -> dict[str, Any]:
        """Made up, but falling as in training."""
        loss = round(0.2 + 1.8 * math.exp(-3 * step / self._steps), 4)
        metrics = {
            "step": step,
            "train_loss": loss,
            "train_mean_token_accuracy": round(1 - loss / 3, 4),
        }
        if self._validation is not None:
            metrics |= {
                "valid_loss": round(loss * 1.1, 4),
                "valid_mean_token_accuracy": round(1 - loss / 2.7, 4),
            }
        return metrics

    def _end(self, status: str) -> None:
        job = self._job
        trained = self._data.tokens * (job.hyperparameters["n_epochs"] if self._stride else 0)
        trained = trained * self._stride // STRIDES
        if self._stride:
            self._charge(trained)
            job.trained_tokens = trained
        if status == "succeeded":
            self._keep_results()
        job.finished_at = int(time.time())
        job.estimated_finish = None
        if status == "succeeded":
            job.say("The job has successfully completed")
        else:
            job.say("Fine-tuning job cancelled")
        job.status = status

    def _charge(self, trained: int) -> None:
        job = self._job
        units = {"trained_tokens": trained}
        if job.request.method == "reinforcement":
            seconds = self._training_seconds * self._stride / STRIDES
            units = {"training_seconds": math.ceil(seconds)}
        charge = replace(job.creator, units=units, finished=self._stride == STRIDES)
        self._log.append(replace(charge, time=time.time()))

    def _keep_results(self) -> None:
        """Offer the model and its checkpoints, and store the metrics of every step."""
        job = self._job
        suffix, mark = job.request.suffix or "", random_id("", 8)
        name = f"ft:{job.request.model}:{NAMESPACE}:{suffix}:{mark}"
        epochs = job.hyperparameters["n_epochs"]
        for epoch in range(max(1, epochs - CHECKPOINTS + 1), epochs + 1):
            step = self._steps * epoch // epochs
            # The last epoch's checkpoint is the model itself.
            shown = name if epoch == epochs else f"{name}:ckpt-step-{step}"
            add_tuned_model(shown, self._base)
            job.checkpoints.append(
                {
                    "object": "fine_tuning.job.checkpoint",
                    "id": random_id("ftckpt_"),
                    "created_at": int(time.time()),
                    "fine_tuned_model_checkpoint": shown,
                    "fine_tuning_job_id": job.id,
                    "metrics": self._metrics(step),
                    "step_number": step,
                }
            )
            if epoch < epochs:
                job.say(f"Checkpoint created at step {step}")
        rows = ["step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"]
        for step in range(1, self._steps + 1):
            metrics = self._metrics(step)
            accuracy = metrics["train_mean_token_accuracy"]
            valid = (metrics.get("valid_loss", ""), metrics.get("valid_mean_token_accuracy", ""))
            rows.append(f"{step},{metrics['train_loss']},{accuracy},{valid[0]},{valid[1]}")
        content = Blob("\n".join([*rows, ""]).encode())
        job.result_files = [self._files.add("step_metrics.csv", "fine-tune-results", content).id]
        job.fine_tuned_model = name
        job.say(f"New fine-tuned model created: {name}")
