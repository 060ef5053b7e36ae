"""Tools that answer at once, or with notifications on the way."""

from typing import Annotated

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools.base import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)
from pydantic import Field

from samples import PNG_BASE64, WAV_BASE64

# Between two notifications of a tool, in seconds.
PAUSE = 0.05


def test_simple_text() -> str:
    """One text"""
    return "This is a simple text response for testing."


def test_image_content() -> ImageContent:
    """One picture"""
    return ImageContent(data=PNG_BASE64, mime_type="image/png")


def test_audio_content() -> AudioContent:
    """One sound"""
    return AudioContent(data=WAV_BASE64, mime_type="audio/wav")


def test_embedded_resource() -> EmbeddedResource:
    """One resource"""
    return _resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")


def test_multiple_content_types() -> list[ContentBlock]:
    """A text, a picture and a resource"""
    return [
        TextContent(text="Multiple content types test:"),
        ImageContent(data=PNG_BASE64, mime_type="image/png"),
        _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ]


def test_error_handling() -> str:
    """Always fails"""
    raise ToolError("This tool intentionally returns an error for testing")


async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three times"""
    for message in ["Tool execution started", "Tool processing data", "Tool execution completed"]:
        await ctx.info(message)
        await anyio.sleep(PAUSE)
    return "logged"


async def test_logging_tool(ctx: Context) -> str:
    """Logs once, which a client of 2026-07-28 gets only if it asked for it"""
    await ctx.info("logged")
    return "logged"


async def test_tool_with_progress(ctx: Context) -> str:
    """Reports progress three times"""
    for progress in [0, 50, 100]:
        await ctx.report_progress(progress, 100)
        await anyio.sleep(PAUSE)
    return "done"


async def test_trigger_tool_change(ctx: Context) -> str:
    """Says that the list of tools changed"""
    await ctx.notify_tools_changed()
    return "said"


async def test_trigger_prompt_change(ctx: Context) -> str:
    """Says that the list of prompts changed"""
    await ctx.notify_prompts_changed()
    return "said"


def test_missing_capability(ctx: Context) -> str:
    """Works only for clients that declared `sampling`"""
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="sampling is needed",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "declared"


def region_report(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """An argument that clients of 2026-07-28 mirror in the header `Mcp-Param-Region` (SEP-2243)"""
    return f"Report of {region}"


def json_schema_2020_12_tool() -> str:
    """A schema with keywords of JSON Schema 2020-12 (SEP-1613, SEP-2106)"""
    return "valid"


TOOLS = [
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_tool_with_logging,
    test_logging_tool,
    test_tool_with_progress,
    test_trigger_tool_change,
    test_trigger_prompt_change,
    test_missing_capability,
    region_report,
]

SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        },
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def with_exact_schema() -> list[Tool]:
    """Tools whose schema is not made from a function."""
    tool = Tool.from_function(json_schema_2020_12_tool, structured_output=False)
    return [tool.model_copy(update={"parameters": SCHEMA_2020_12})]


def _resource(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))
