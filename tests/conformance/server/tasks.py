"""Tools that answer with a task: the extension `io.modelcontextprotocol/tasks` (SEP-2663).

The SDK has no tasks of its own. One runs the tool's usual handler in the background.
"""

import asyncio
from contextvars import ContextVar
from datetime import UTC, datetime
from uuid import uuid4

from mcp.server.extension import Extension, MethodBinding, ToolBinding
from mcp.server.mcpserver import Context, require_client_extension
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, InputRequiredResult, RequestParams

import rounds

MODERN = frozenset({"2026-07-28"})

# Longer than a run, and a pause that keeps a polling client quick; both in ms.
LIFETIME = 600_000
POLL_INTERVAL = 100


class TaskParams(RequestParams):
    """Names a task."""

    task_id: str


class UpdateParams(TaskParams):
    """Answers some of its questions, and maybe what nobody asked."""

    input_responses: dict[str, dict]


class Task:
    """A call in the background."""

    def __init__(self) -> None:
        self.id = uuid4().hex
        self.job: asyncio.Task | None = None
        self._created = self._updated = _now()
        self._status = "working"
        self._outcome: dict = {}
        self._questions: dict[str, asyncio.Future] = {}
        self._requests: dict[str, dict] = {}

    async def run(self, call) -> None:
        """Keeps what the coroutine returns or raises."""
        try:
            result = await call
        except MCPError as error:
            self._end("failed", error=error.error.model_dump(mode="json", exclude_none=True))
        else:
            self._end("completed", result=_wire(result))

    def cancel(self) -> None:
        """Ends it, unless it ended."""
        if not self.job.done():
            self.job.cancel()
            self._end("cancelled")

    async def ask(self, **questions) -> dict:
        """Asks the client and waits until all is answered."""
        self._requests = {key: _wire(question) for key, question in questions.items()}
        self._questions = {key: asyncio.get_running_loop().create_future() for key in questions}
        answers = await asyncio.gather(*self._questions.values())
        return dict(zip(questions, answers, strict=True))

    def answer(self, responses: dict[str, dict]) -> None:
        """Takes the answers to what is asked; others are ignored."""
        for key in self._requests.keys() & responses.keys():
            del self._requests[key]
            self._questions[key].set_result(responses[key])
        self._updated = _now()

    def created(self) -> dict:
        """The answer to the call."""
        return {"resultType": "task", **self._describe()}

    def detailed(self) -> dict:
        """The answer to `tasks/get`."""
        return {"resultType": "complete", **self._describe(), **self._outcome}

    def _describe(self) -> dict:
        asking = {"status": "input_required", "inputRequests": dict(self._requests)} if self._requests else {}
        return {
            "taskId": self.id,
            "status": self._status,
            "createdAt": self._created,
            "lastUpdatedAt": self._updated,
            "ttlMs": LIFETIME,
            "pollIntervalMs": POLL_INTERVAL,
            **asking,
        }

    def _end(self, status: str, **outcome) -> None:
        self._status, self._outcome, self._requests, self._updated = status, outcome, {}, _now()


# The task that the tool runs in.
current: ContextVar[Task] = ContextVar("current")


def greet(name: str) -> str:
    """Answers at once, never with a task"""
    return f"Hello, {name}!"


async def slow_compute(seconds: float, label: str = "") -> str:
    """Takes its time, in a task if the client knows tasks"""
    await asyncio.sleep(seconds)
    return f"computed {label}"


async def failing_job() -> str:
    """A tool that fails, in a task"""
    raise ToolError("this job always fails")


async def protocol_error_job() -> str:
    """A call that fails, in a task"""
    raise MCPError(code=INTERNAL_ERROR, message="this call always fails")


async def confirm_delete(filename: str) -> str:
    """Asks for a confirmation, from a task"""
    answers = await current.get().ask(confirm=rounds.elicit(f"Delete {filename}?", confirm="boolean"))
    return f"{filename}: {answers['confirm']['action']}"


async def multi_input() -> str:
    """Asks two questions at once, from a task"""
    questions = {key: rounds.elicit(f"The {key} name?", name="string") for key in ["first", "second"]}
    return ", ".join(answer["action"] for answer in (await current.get().ask(**questions)).values())


def test_tool_with_task(ctx: Context) -> str | InputRequiredResult:
    """Asks before there is a task (SEP-2322), and then answers with one"""
    return rounds.test_input_required_result_elicitation(ctx)


# Tools that run in a task for clients that know tasks, and whether they need one.
NEEDS_TASK = {
    "slow_compute": False,
    "failing_job": True,
    "protocol_error_job": True,
    "confirm_delete": True,
    "multi_input": True,
    "test_tool_with_task": True,
}


class Tasks(Extension):
    """The extension, with its tools and its tasks."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def tools(self):
        tools = [greet, slow_compute, failing_job, protocol_error_job, confirm_delete, multi_input, test_tool_with_task]
        return [ToolBinding(tool, kwargs={"structured_output": False}) for tool in tools]

    def methods(self):
        return [
            MethodBinding("tasks/get", TaskParams, self._get, MODERN),
            MethodBinding("tasks/update", UpdateParams, self._update, MODERN),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, MODERN),
        ]

    async def intercept_tool_call(self, params, ctx, call_next):
        if params.name not in NEEDS_TASK:
            return await call_next(ctx)
        try:
            require_client_extension(ctx, self.identifier)
        except MCPError:
            if NEEDS_TASK[params.name]:
                raise
            return await call_next(ctx)
        if params.name == "test_tool_with_task" and not params.input_responses:
            return await call_next(ctx)
        task = Task()
        self._tasks[task.id] = task
        token = current.set(task)
        task.job = asyncio.create_task(task.run(call_next(ctx)))
        current.reset(token)
        return task.created()

    async def _get(self, ctx, params: TaskParams):
        return self._find(ctx, params).detailed()

    async def _update(self, ctx, params: UpdateParams):
        self._find(ctx, params).answer(params.input_responses)
        return {}

    async def _cancel(self, ctx, params: TaskParams):
        self._find(ctx, params).cancel()
        return {}

    def _find(self, ctx, params: TaskParams) -> Task:
        require_client_extension(ctx, self.identifier)
        # The SDK checks this header for its own methods only.
        if ctx.request.headers.get("mcp-name") != params.task_id:
            raise MCPError(code=HEADER_MISMATCH, message="Mcp-Name is not params.taskId")
        task = self._tasks.get(params.task_id)
        if task is None:
            raise MCPError(code=INVALID_PARAMS, message="Unknown task")
        return task


def _wire(model) -> dict:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _now() -> str:
    return datetime.now(UTC).isoformat()
