"""The official Python MCP client, unmodified, through ../../scenarios/steps.json:

    python main.py URL              2026-07-28 where the server has it (the SDK's default)
    MODE=legacy python main.py URL  revisions up to 2025-11-25

It starts knowing the URL and nothing else, and prints the lines that
../typescript/main.mjs describes.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp import MCPError
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

# Nobody listens there: the headless browser stops when it is sent there.
REDIRECT_URI = "http://127.0.0.1/callback"

# More hops than any login here takes.
MAX_REDIRECTS = 10

STEPS = json.loads((Path(__file__).parents[2] / "scenarios/steps.json").read_text())


class Memory:
    """A `TokenStorage` for one process."""

    def __init__(self) -> None:
        self.tokens = None
        self.client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


class Browser:
    """A browser without a window: follows redirects, keeps cookies, stops at the client."""

    def __init__(self) -> None:
        self.callback = ""

    async def visit(self, url: str) -> None:
        async with httpx2.AsyncClient() as http:
            for _ in range(MAX_REDIRECTS):
                response = await http.get(url)
                if "location" not in response.headers:
                    raise RuntimeError(f"{url} answered {response.status_code}: {response.text}")
                url = urljoin(url, response.headers["location"])
                if url.startswith(REDIRECT_URI + "?"):
                    self.callback = url
                    return
        raise RuntimeError("too many redirects")

    async def returned(self) -> AuthorizationCodeResult:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.callback).query).items()}
        if "code" not in query:
            raise RuntimeError(f"authorization refused: {query.get('error_description')}")
        return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))


class Observer:
    """Writes down the HTTP exchanges of the running step and prints the step's line."""

    def __init__(self, url: str) -> None:
        self.path = urlsplit(url).path
        self.exchanges: list[dict[str, Any]] = []

    async def on_response(self, response: httpx2.Response) -> None:
        request = response.request
        exchange = {"request": f"{request.method} {request.url.path}", "status": response.status_code}
        if request.url.path == self.path and request.content:
            message = json.loads(request.content)
            exchange["message"] = label(message["method"], message.get("params"))
        for key, header in (("decision", "x-countersign-decision-id"), ("challenge", "www-authenticate")):
            if header in response.headers:
                exchange[key] = response.headers[header]
        self.exchanges.append(exchange)

    async def report(self, step: str, run: Callable[[], Awaitable[Any]]) -> bool:
        """Runs one step, prints its line, and returns whether it came to a result."""
        self.exchanges = []
        try:
            outcome, value = "result", await run()
        except Exception as error:
            code = error.code if isinstance(error, MCPError) else None
            outcome, value = "error", {"code": code, "message": str(error)}
        line = {"step": step, "outcome": outcome, "value": value, "exchanges": self.exchanges}
        print(json.dumps(line), flush=True)
        return outcome == "result"


def label(method: str, params: dict[str, Any] | None) -> str:
    params = params or {}
    return " ".join(filter(None, [method, params.get("name") or params.get("uri")]))


async def perform(client: Client, method: str, params: dict[str, Any]) -> Any:
    """Performs a step; returns the part of the result that the demo compares."""
    match method:
        case "tools/list":
            # The SDK may cache lists; the demo wants to see each one made.
            result = await client.list_tools(cache_mode="bypass")
            return sorted(tool.name for tool in result.tools)
        case "tools/call":
            result = await client.call_tool(params["name"], params["arguments"])
            return "\n".join(part.text for part in result.content)
        case "prompts/get":
            result = await client.get_prompt(params["name"], params["arguments"])
            return "\n".join(message.content.text for message in result.messages)
        case "resources/read":
            result = await client.read_resource(params["uri"])
            return "\n".join(part.text for part in result.contents)
        case _:
            raise ValueError(f"no such step: {method}")


async def main(url: str, mode: str) -> None:
    observer = Observer(url)
    browser = Browser()
    auth = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(
            client_name="Countersign demo (Python)",
            redirect_uris=[REDIRECT_URI],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="none",
        ),
        storage=Memory(),
        redirect_handler=browser.visit,
        callback_handler=browser.returned,
    )
    http = httpx2.AsyncClient(
        auth=auth,
        event_hooks={"response": [observer.on_response]},
        # Every request claims to be somebody else.
        headers={"x-countersign-subject": "mallory"},
    )
    client = Client(streamable_http_client(url, http_client=http), mode=mode)

    async def connect() -> str:
        await client.__aenter__()
        return client.protocol_version

    async with http:
        if not await observer.report("connect", connect):
            sys.exit(1)
        for step in STEPS:
            method, params = step["method"], step.get("params", {})
            await observer.report(label(method, params), lambda: perform(client, method, params))
        await client.__aexit__(None, None, None)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], os.environ.get("MODE", "auto")))
