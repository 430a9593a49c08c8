"""What the provider does not have any more, told apart from a provider that is not found."""

from __future__ import annotations

import openai
import pytest

from gateway.adapters.upstream import provider_client
from gateway.core.progress import Gone
from gateway.settings import Settings
from gateway.workers.follower import AskingProvider
from tests.adapters.provider_socket import KEY, SocketProvider, Talk

GONE = b'{"error": {"message": "No such File object", "type": "invalid_request_error"}}'


def asking(provider: SocketProvider) -> AskingProvider:
    url = f"http://127.0.0.1:{provider.port}/v1"
    settings = Settings(openai_api_key=KEY, upstream_url=url)  # type: ignore[arg-type]
    return AskingProvider(provider_client(settings))


@pytest.mark.parametrize(
    ("body", "error"), [(GONE, Gone), (b"<html>not here</html>", openai.NotFoundError)]
)
def test_only_the_provider_can_say_that_something_is_gone(
    body: bytes, error: type[Exception]
) -> None:
    def play(talk: Talk) -> None:
        while talk.request():
            talk.answer(body, b"Content-Type: application/json", status=b"404 Not Found")

    with SocketProvider(play) as provider:
        with pytest.raises(error):
            list(asking(provider).lines("/files/file-1/content"))
        with pytest.raises(error):
            asking(provider).json("/batches/batch_1")
