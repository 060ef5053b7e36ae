"""Prompts and resources."""

import json

from mcp.server.mcpserver import MCPServer, UserMessage
from mcp.server.mcpserver.resources import BinaryResource, TextResource
from mcp_types import EmbeddedResource, ImageContent, TextResourceContents

from samples import PNG, PNG_BASE64


def add(server: MCPServer) -> None:
    """Adds them all."""
    for uri, text in {
        "test://static-text": "This is the content of the static text resource.",
        "test://watched-resource": "Clients subscribe to this one.",
    }.items():
        name = uri.removeprefix("test://")
        server.add_resource(TextResource(uri=uri, name=name, description="A text", mime_type="text/plain", text=text))
    server.add_resource(BinaryResource(
        uri="test://static-binary", name="static-binary", description="A picture", mime_type="image/png", data=PNG,
    ))
    server.resource("test://template/{id}/data", mime_type="application/json")(template_data)
    for prompt in [
        test_simple_prompt,
        test_prompt_with_arguments,
        test_prompt_with_embedded_resource,
        test_prompt_with_image,
    ]:
        server.prompt()(prompt)


def template_data(id: str) -> str:
    """The data of one id"""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def test_simple_prompt() -> str:
    """Without arguments"""
    return "This is a simple prompt for testing."


def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """With two arguments"""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """With a resource in it"""
    text = "Embedded resource content for testing."
    resource = EmbeddedResource(resource=TextResourceContents(uri=resourceUri, mime_type="text/plain", text=text))
    return [UserMessage(resource), UserMessage("Please process the embedded resource above.")]


def test_prompt_with_image() -> list[UserMessage]:
    """With a picture in it"""
    image = ImageContent(data=PNG_BASE64, mime_type="image/png")
    return [UserMessage(image), UserMessage("Please analyze the image above.")]
