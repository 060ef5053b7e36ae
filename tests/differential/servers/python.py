"""The recording MCP server on the official Python SDK: see ../README.md.

It takes any object by any name, on the SDK's low-level server: what ran is what the SDK's models
made of the parameters.
"""

import asyncio
import json
import os
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

OBJECTS = ("name", "uri", "ref", "taskId", "notifications")

ran: dict[str, list[dict[str, Any]]] = {}


def record(ctx: Any, method: str, params: Any) -> None:
    case = ctx.request.headers.get("x-case", "unattributed") if ctx.request else "unattributed"
    if hasattr(params, "model_dump"):
        params = params.model_dump(by_alias=True, mode="json")
    named = {key: params[key] for key in OBJECTS if key in (params or {})}
    ran.setdefault(case, []).append({"method": method, "params": named})


def answering(method: str, result: Any):
    async def handler(ctx: Any, params: Any) -> Any:
        record(ctx, method, params)
        return result

    return handler


TASK = {"taskId": "t", "status": "working", "ttl": None, "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z"}

TYPED = {
    "tools/list": (types.PaginatedRequestParams, types.ListToolsResult(tools=[])),
    "tools/call": (types.CallToolRequestParams, types.CallToolResult(content=[])),
    "prompts/list": (types.PaginatedRequestParams, types.ListPromptsResult(prompts=[])),
    "prompts/get": (types.GetPromptRequestParams, types.GetPromptResult(messages=[])),
    "resources/list": (types.PaginatedRequestParams, types.ListResourcesResult(resources=[])),
    "resources/templates/list": (types.PaginatedRequestParams, types.ListResourceTemplatesResult(resource_templates=[])),
    "resources/read": (types.ReadResourceRequestParams, types.ReadResourceResult(contents=[])),
    "resources/subscribe": (types.SubscribeRequestParams, types.EmptyResult()),
    "resources/unsubscribe": (types.UnsubscribeRequestParams, types.EmptyResult()),
    "subscriptions/listen": (types.SubscriptionsListenRequestParams, {}),
    "completion/complete": (types.CompleteRequestParams, types.CompleteResult(completion=types.Completion(values=[]))),
    "logging/setLevel": (types.SetLevelRequestParams, types.EmptyResult()),
    "tasks/get": (types.GetTaskRequestParams, TASK),
    "tasks/cancel": (types.CancelTaskRequestParams, TASK),
    "tasks/result": (types.GetTaskPayloadRequestParams, {}),
    "tasks/list": (types.PaginatedRequestParams, {"tasks": []}),
    "vendor/run": (types.RequestParams, {}),
}


async def record_others(ctx: Any, call_next: Any) -> Any:
    """What has no handler of ours: `initialize`, `ping`, `server/discover`, notifications."""
    result = await call_next(ctx)
    if ctx.method not in TYPED:
        record(ctx, ctx.method, None)
    return result


def app(*, stateless: bool) -> Starlette:
    # Without this the SDK lists the tools for the schema of each call, as if a client had asked.
    server = Server("recording-python", version="1.0.0", get_tool_input_schema=lambda _: None)
    for method, (params_type, result) in TYPED.items():
        server.add_request_handler(method, params_type, answering(method, result))
    server.middleware.append(record_others)
    path = "/stateless" if stateless else "/session"
    return server.streamable_http_app(streamable_http_path=path, json_response=stateless, stateless_http=stateless)


async def report(_: Request) -> Response:
    # In ASCII, since the SDK also takes what UTF-8 cannot say.
    return Response(json.dumps(ran), media_type="application/json")


class Both:
    """One app for both paths; each part has a lifespan of its own."""

    def __init__(self) -> None:
        self.parts = {"/stateless": app(stateless=True), "/session": app(stateless=False)}
        self.others = Starlette(routes=[Route("/ran", report)])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.parts.get(scope["path"], self.others)(scope, receive, send)


async def main() -> None:
    both = Both()
    config = uvicorn.Config(both, host="127.0.0.1", port=int(os.environ["PORT"]), lifespan="off", log_level="error")
    stateless, session = both.parts.values()
    async with stateless.router.lifespan_context(stateless), session.router.lifespan_context(session):
        await uvicorn.Server(config).serve()


asyncio.run(main())
