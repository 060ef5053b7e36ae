"""Tools that ask the client while they run, by requests on the stream of the call: before 2026-07-28."""

from mcp.server.mcpserver import Context
from mcp_types import SamplingMessage, TextContent

# The suite compares these with what its scenarios describe (SEP-1034, SEP-1330).
DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
OPTIONS = ["option1", "option2", "option3"]
TITLED = [{"const": f"value{n}", "title": f"{title} Option"} for n, title in enumerate(["First", "Second", "Third"], 1)]
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": OPTIONS},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
}
CONTACT = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}


async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model"""
    answer = await ctx.session.create_message(
        messages=[SamplingMessage(role="user", content=TextContent(text=prompt))],
        max_tokens=100,
        related_request_id=ctx.request_id,
    )
    return f"LLM response: {answer.content.text}"


async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user who it is"""
    return f"User response: {await _ask(ctx, message, CONTACT)}"


async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks the user with a default for each kind of value"""
    return f"Elicitation completed: {await _ask(ctx, 'Please review these values', DEFAULTS)}"


async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks the user with each kind of choice"""
    return f"Elicitation completed: {await _ask(ctx, 'Please choose', ENUMS)}"


TOOLS = [test_sampling, test_elicitation, test_elicitation_sep1034_defaults, test_elicitation_sep1330_enums]


async def _ask(ctx: Context, message: str, schema: dict) -> str:
    answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return f"action={answer.action}, content={answer.content}"
