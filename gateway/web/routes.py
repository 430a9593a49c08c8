"""Every family of endpoints that the gateway serves. What is not here is refused."""

from __future__ import annotations

from gateway.web import probes
from gateway.web.openai import chat, embeddings, images, models, speech, transcriptions

BLUEPRINTS = (
    chat.blueprint,
    embeddings.blueprint,
    images.blueprint,
    speech.blueprint,
    transcriptions.blueprint,
    models.blueprint,
    probes.blueprint,
)
