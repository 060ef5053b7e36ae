"""HTTP+SSE of 2024-11-05 with the official Python SDK, server and client unmodified:

    PORT=3000 python http_sse.py serve    serves /sse and /messages/ on loopback
    python http_sse.py visit URL TOKEN    does everything once, prints outcomes as JSON

TOKEN may be empty.
"""

import asyncio
import json
import os
import sys

import uvicorn
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ListRootsResult, Root

# Seconds for an answer that should come, and for one that does not.
PATIENCE = 10.0
IMPATIENCE = 1.0

server = MCPServer("http-sse", version="1.0.0")


@server.tool()
def echo(message: str) -> str:
    """What it is given"""
    return message


@server.tool()
async def roots(ctx: Context) -> str:
    """What the client says when it is asked for its roots"""
    return str((await ctx.session.list_roots()).roots[0].uri)


@server.tool()
def internal_debug() -> str:
    """A tool that no rule names"""
    return "secret"


async def visit(url: str, token: str) -> None:
    async def list_roots(context) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri="file:///shelf")])

    headers = {"authorization": f"Bearer {token}"} if token else None
    outcomes = {}
    transport = sse_client(url, headers=headers)
    async with Client(
        transport, mode="legacy", list_roots_callback=list_roots
    ) as client:
        outcomes["server"] = client.server_info.name
        outcomes["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        calls = {
            "echo": ("echo", {"message": "hello \u2603"}, PATIENCE),
            "roots": ("roots", {}, PATIENCE),
            "large": ("echo", {"message": "a" * 100_000}, PATIENCE),
            "denied": ("internal_debug", {}, IMPATIENCE),
        }
        for step, (name, arguments, patience) in calls.items():
            try:
                result = await client.call_tool(
                    name, arguments, read_timeout_seconds=patience
                )
                outcomes[step] = result.content[0].text
            except Exception as error:
                outcomes[step] = {"error": type(error).__name__}
    print(json.dumps(outcomes))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            uvicorn.run(
                server.sse_app(), host="127.0.0.1", port=int(os.environ["PORT"])
            )
        case ["visit", url, token]:
            asyncio.run(visit(url, token))
