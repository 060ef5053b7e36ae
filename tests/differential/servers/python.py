"""The recording MCP servers on the official Python SDK: see ../README.md.

One takes any object by any name, on the SDK's low-level server: what ran is what the SDK's models
made of the parameters. On the other, under `/registered`, tools, prompts and resources are
registered, so that the SDK finds them by its own rules.
"""

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context, MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

OBJECTS = json.loads((Path(__file__).parent / "objects.json").read_text())

# Members of the parameters that say what a method is applied to.
MEMBERS = ("name", "uri", "ref", "taskId", "notifications")

ran: dict[str, list[dict[str, Any]]] = {}


def record(headers: Any, method: str, params: Any) -> None:
    case = (headers or {}).get("x-case", "unattributed")
    if hasattr(params, "model_dump"):
        params = params.model_dump(by_alias=True, mode="json")
    named = {key: params[key] for key in MEMBERS if key in (params or {})}
    ran.setdefault(case, []).append({"method": method, "params": named})


def answering(method: str, result: Any):
    async def handler(ctx: Any, params: Any) -> Any:
        record(ctx.request.headers, method, params)
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


def recording_others(methods: Any) -> Any:
    """Middleware for what has no handler of ours: `initialize`, `ping`, notifications."""

    async def record_others(ctx: Any, call_next: Any) -> Any:
        result = await call_next(ctx)
        if ctx.method not in methods:
            record(ctx.request.headers, ctx.method, None)
        return result

    return record_others


def any_name(path: str, *, stateless: bool) -> Starlette:
    # Without this the SDK lists the tools for the schema of each call, as if a client had asked.
    server = Server("recording-python", version="1.0.0", get_tool_input_schema=lambda _: None)
    for method, (params_type, result) in TYPED.items():
        server.add_request_handler(method, params_type, answering(method, result))
    server.middleware.append(recording_others(TYPED))
    return server.streamable_http_app(streamable_http_path=path, json_response=stateless, stateless_http=stateless)


def registered(path: str) -> Starlette:
    server = MCPServer("recording-python-registered", version="1.0.0")

    def tool(name: str) -> None:
        @server.tool(name=name)
        def run(ctx: Context) -> str:
            record(ctx.headers, "tools/call", {"name": name})
            return ""

    def prompt(name: str) -> None:
        @server.prompt(name=name)
        def run(ctx: Context) -> str:
            record(ctx.headers, "prompts/get", {"name": name})
            return ""

    for name in OBJECTS["tools"]:
        tool(name)
    for name in OBJECTS["prompts"]:
        prompt(name)

    # All resources by their template: it is what the SDK takes apart and decodes.
    @server.resource(OBJECTS["template"])
    def read(area: str, page: str, ctx: Context) -> str:
        record(ctx.headers, "resources/read", {"uri": f"docs://shop/{area}/{page}"})
        return ""

    server.middleware.append(recording_others(("tools/call", "prompts/get", "resources/read")))
    return server.streamable_http_app(streamable_http_path=path, json_response=True, stateless_http=True)


async def report(_: Request) -> Response:
    # In ASCII, since the SDK also takes what UTF-8 cannot say.
    return Response(json.dumps(ran), media_type="application/json")


class Paths:
    """One app for all paths; each part has a lifespan of its own."""

    def __init__(self) -> None:
        self.parts = {
            "/stateless": any_name("/stateless", stateless=True),
            "/session": any_name("/session", stateless=False),
            "/registered": registered("/registered"),
        }
        self.others = Starlette(routes=[Route("/ran", report)])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.parts.get(scope["path"], self.others)(scope, receive, send)


async def main() -> None:
    paths = Paths()
    config = uvicorn.Config(paths, host="127.0.0.1", port=int(os.environ["PORT"]), lifespan="off", log_level="error")
    async with contextlib.AsyncExitStack() as stack:
        for part in paths.parts.values():
            await stack.enter_async_context(part.router.lifespan_context(part))
        await uvicorn.Server(config).serve()


asyncio.run(main())
