"""The MCP server that the conformance suite runs against, on the official Python SDK.

It offers every name the suite asks for, in both protocol eras, and checks nothing itself. PORT is
the loopback port of the MCP endpoint /mcp. What a client before 2026-07-28 missed of a stream is
kept, so that it can resume.
"""

import os

import uvicorn
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import MCPServer
from mcp_types import Completion, EmptyResult, SetLevelRequestParams, SubscribeRequestParams, UnsubscribeRequestParams
from mcp_types.methods import CACHEABLE_METHODS

import content
import questions
import rounds
import streams
import tasks
import tools

# How long a client waits before it resumes a stream, in ms (`retry:` of server-sent events).
RETRY = 500

# `public`, so that a proxy which cuts lists has something to correct.
CACHE = CacheHint(ttl_ms=60_000, scope="public")


def build() -> MCPServer:
    """The server with all its tools, prompts and resources."""
    server = MCPServer(
        "conformance",
        version="1.0.0",
        log_level="WARNING",
        tools=tools.with_exact_schema(),
        extensions=[tasks.Tasks()],
        cache_hints=dict.fromkeys(CACHEABLE_METHODS, CACHE),
    )
    for tool in [*tools.TOOLS, *questions.TOOLS, *rounds.TOOLS, *streams.TOOLS]:
        server.add_tool(tool, structured_output=False)
    content.add(server)
    rounds.add_prompt(server)
    server.completion()(complete)
    add_legacy_methods(server)
    return server


async def complete(_ref, argument, _context) -> Completion:
    """Completes anything with what was typed."""
    return Completion(values=[argument.value], total=1, has_more=False)


def add_legacy_methods(server: MCPServer) -> None:
    """Methods that revision 2026-07-28 took out: `MCPServer` no longer has them, the layer below does."""

    async def accept(_ctx, _params) -> EmptyResult:
        return EmptyResult()

    for method, params in {
        "logging/setLevel": SetLevelRequestParams,
        "resources/subscribe": SubscribeRequestParams,
        "resources/unsubscribe": UnsubscribeRequestParams,
    }.items():
        server._lowlevel_server.add_request_handler(method, params, accept)


if __name__ == "__main__":
    app = build().streamable_http_app(event_store=streams.MemoryEventStore(), retry_interval=RETRY)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
