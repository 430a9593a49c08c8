"""Every family of endpoints that the gateway serves. What is not here is refused."""

from __future__ import annotations

from gateway.web import openapi, preflight, probes, sign_in
from gateway.web.admin import description
from gateway.web.dashboard import (
    assets,
    budget_forms,
    budgets,
    client_forms,
    clients,
    key_forms,
    overview,
    requests,
    shell,
    team_forms,
    teams,
)
from gateway.web.openai import (
    batches,
    chat,
    completions,
    embeddings,
    files,
    fine_tuning,
    images,
    models,
    moderations,
    organization_costs,
    organization_usage,
    responses,
    speech,
    stored_completions,
    stored_responses,
    transcriptions,
    uploads,
)

BLUEPRINTS = (
    batches.blueprint,
    chat.blueprint,
    completions.blueprint,
    embeddings.blueprint,
    files.blueprint,
    fine_tuning.blueprint,
    images.blueprint,
    models.blueprint,
    moderations.blueprint,
    organization_costs.blueprint,
    organization_usage.blueprint,
    responses.blueprint,
    speech.blueprint,
    stored_completions.blueprint,
    stored_responses.blueprint,
    transcriptions.blueprint,
    uploads.blueprint,
    openapi.blueprint,
    preflight.blueprint,
    probes.blueprint,
    sign_in.blueprint,
    # The admin API
    *(api.blueprint for api in description.APIS),
    description.blueprint,
    # The dashboard
    shell.blueprint,
    assets.blueprint,
    overview.blueprint,
    requests.blueprint,
    teams.blueprint,
    clients.blueprint,
    budgets.blueprint,
    team_forms.blueprint,
    client_forms.blueprint,
    key_forms.blueprint,
    budget_forms.blueprint,
)
