"""Tools and a prompt that end a call with questions and go on in the next one: 2026-07-28 (SEP-2322).

The SDK seals `requestState`, so what comes back is what was sent or an error.
"""

from mcp.server.mcpserver import Context, MCPServer, UserMessage
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)


def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks the user for a name"""
    name = _content(ctx, "user_name").get("name")
    if name is None:
        return _need(user_name=elicit("What is your name?", name="string"))
    return f"Hello, {name}!"


def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Asks the client's model"""
    answer = _answers(ctx).get("capital_question")
    if answer is None:
        return _need(capital_question=_sample("What is the capital of France?", 100))
    return answer.content.text


def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Asks for the client's roots"""
    answer = _answers(ctx).get("client_roots")
    if answer is None:
        return _need(client_roots=ListRootsRequest())
    return ", ".join(str(root.uri) for root in answer.roots)


def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Asks for a confirmation and knows the question again"""
    if ctx.request_state != "asked" or not _content(ctx, "confirm"):
        return _need("asked", confirm=elicit("Please confirm", ok="boolean"))
    return "state-ok"


def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """The same, for a client that changes the state"""
    return test_input_required_result_request_state(ctx)


def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Asks the user, the model and for roots, all at once"""
    questions = {
        "user_name": elicit("What is your name?", name="string"),
        "greeting": _sample("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if ctx.request_state != "asked" or not questions.keys() <= _answers(ctx).keys():
        return _need("asked", **questions)
    return "all answered"


def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Asks twice, one after the other"""
    match ctx.request_state:
        case "1" if "name" in (step := _content(ctx, "step1")):
            return _need(f"2 {step['name']}", step2=elicit("Step 2: What is your favorite color?", color="string"))
        case str(state) if state.startswith("2 ") and "color" in (step := _content(ctx, "step2")):
            return f"{state.removeprefix('2 ')} likes {step['color']}"
        case _:
            return _need("1", step1=elicit("Step 1: What is your name?", name="string"))


def test_input_required_result_capabilities(ctx: Context) -> str | InputRequiredResult:
    """Asks only what the client declared to be able to answer"""
    declared = ctx.client_capabilities
    questions = {
        "user_name": declared.elicitation and elicit("What is your name?", name="string"),
        "capital_question": declared.sampling and _sample("What is the capital of France?", 100),
    }
    possible = {key: question for key, question in questions.items() if question is not None}
    return _need(**possible) if possible else "nothing to ask with"


def test_streaming_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks the user at the end of the stream, never by a request on it"""
    return test_input_required_result_elicitation(ctx)


TOOLS = [
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
    test_streaming_elicitation,
]


def add_prompt(server: MCPServer) -> None:
    """Adds the prompt that asks first."""

    @server.prompt()
    def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
        """Asks the user for a context"""
        context = _content(ctx, "user_context").get("context")
        if context is None:
            return _need(user_context=elicit("What context should the prompt use?", context="string"))
        return [UserMessage(f"Answer with this in mind: {context}")]


def elicit(message: str, **properties: str) -> ElicitRequest:
    """A question to the user, for values of these types."""
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _need(state: str | None = None, /, **questions: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=questions, request_state=state)


def _sample(text: str, max_tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


def _answers(ctx: Context) -> dict:
    return ctx.input_responses or {}


def _content(ctx: Context, key: str) -> dict:
    """What the user filled in, or nothing."""
    return getattr(_answers(ctx).get(key), "content", None) or {}
