"""Which endpoint serves a request: by method and a path in which ``{name}`` stands for an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.simulator.server import Answer, Request, Stream

Endpoint = Callable[[Request], Answer | Stream]
Route = tuple[str, str, Endpoint]
"""Method, path, and who answers. A last part ``{name*}`` takes all the rest of a path."""


class Routes:
    """The endpoints by method and path; exact paths win over paths with ids."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._patterns: list[tuple[str, list[str], Endpoint]] = []
        for method, path, endpoint in routes:
            if "{" in path:
                self._patterns.append((method, path.split("/"), endpoint))
            else:
                self._exact[(method, path)] = endpoint

    def find(self, request: Request) -> Endpoint | None:
        """The endpoint of ``request``, with the ids of its path put into ``request.params``."""
        exact = self._exact.get((request.method, request.path))
        if exact is not None:
            return exact
        parts = request.path.split("/")
        for method, pattern, endpoint in self._patterns:
            if method == request.method and (params := _matched(pattern, parts)) is not None:
                request.params = params
                return endpoint
        return None


def _matched(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for index, wanted in enumerate(pattern):
        if wanted.endswith("*}"):
            rest = "/".join(parts[index:])
            return {**params, wanted[1:-2]: rest} if rest else None
        if index >= len(parts):
            return None
        if wanted.startswith("{"):
            if not parts[index]:
                return None
            params[wanted[1:-1]] = parts[index]
        elif wanted != parts[index]:
            return None
    return params if len(parts) == len(pattern) else None
