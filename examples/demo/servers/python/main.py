"""The MCP server behind the filter, on the official Python SDK. It checks nothing itself.

PORT is the loopback port of the MCP endpoint /mcp, default 3002. Both protocol eras are served;
clients before 2026-07-28 get a session.
"""

import json
import os
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resources import TextResource

DOCS = {
    doc["uri"]: doc
    for doc in json.loads((Path(__file__).parent.parent / "docs.json").read_text())
}

server = MCPServer("docs-python", version="1.0.0")


@server.tool()
def whoami(ctx: Context) -> str:
    """What this server was told about the caller"""
    headers = ctx.headers or {}
    seen = {
        "headers": {k: v for k, v in headers.items() if k.startswith("x-countersign-")},
        "authorization": "authorization" in headers,
        "dpop": "dpop" in headers,
    }
    return json.dumps(seen)


@server.tool()
def search_docs(query: str) -> str:
    """Documents that contain a phrase"""
    return "\n".join(uri for uri, doc in DOCS.items() if query in doc["text"])


@server.tool()
def read_doc(uri: str) -> str:
    """One document"""
    return DOCS[uri]["text"]


@server.tool()
def delete_doc(uri: str) -> str:
    """Delete a document"""
    # Says so and keeps the document: the demo wants it again.
    return f"deleted {DOCS[uri]['uri']}"


@server.tool()
def internal_debug() -> str:
    """The environment of this process"""
    # The tool somebody forgot: no rule names it, so nobody may see or call it.
    return "\n".join(os.environ)


@server.prompt()
def summarize(uri: str) -> str:
    """Ask for a summary"""
    return f"Summarize: {DOCS[uri]['text']}"


for doc in DOCS.values():
    server.add_resource(
        TextResource(uri=doc["uri"], name=doc["title"], text=doc["text"], mime_type="text/plain")
    )


if __name__ == "__main__":
    server.run(
        transport="streamable-http",
        host="127.0.0.1",
        port=int(os.environ.get("PORT", "3002")),
    )
