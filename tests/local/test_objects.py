"""States, endpoints and routes of the server, compared with the SDK's."""

from __future__ import annotations

from typing import get_args, get_type_hints

from openai.types import Batch, BatchCreateParams

from batchframe import local
from batchframe.local._http.routes import Api
from batchframe.local._objects import ENDPOINTS, ROUTES, Status


def test_states_and_endpoints_are_those_of_the_sdk() -> None:
    assert set(get_args(Status)) == set(get_args(Batch.model_fields["status"].annotation))
    hints = get_type_hints(BatchCreateParams, include_extras=False)
    # The SDK still names the endpoint that OpenAI shut down on 2026-09-24.
    assert {*ENDPOINTS, "/v1/videos"} == set(get_args(hints["endpoint"]))


def test_the_known_routes_are_those_of_the_server(server: local.Server) -> None:
    assert server._engine is not None
    api = Api(worker=server._engine.worker, faults=server.faults, guarded=True, key=None)
    served = {
        f"{method} {route.path.replace(':path', '')}"  # type: ignore[attr-defined]
        for route in api.application().routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD" and "{path" not in getattr(route, "path", "")
    }
    assert served == set(ROUTES)
