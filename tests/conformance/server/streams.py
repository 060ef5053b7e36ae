"""Streams that end early and are resumed: before 2026-07-28 (SEP-1699)."""

import anyio
from mcp.server.mcpserver import Context
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore

# How long the tool works after its stream was closed, in seconds.
WORK = 0.1


class MemoryEventStore(EventStore):
    """Keeps every event for as long as the process lives. An event's id is its place."""

    def __init__(self) -> None:
        self._events: list[tuple[str, object]] = []

    async def store_event(self, stream_id, message) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id) if last_event_id.isdecimal() else len(self._events)
        if last >= len(self._events):
            return None
        stream_id, _ = self._events[last]
        for place, (stream, message) in list(enumerate(self._events))[last + 1:]:
            # A message of none is where a stream began: nothing to send again.
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(place)))
        return stream_id


async def test_reconnection(ctx: Context) -> str:
    """Closes its stream and answers on the one that resumes it"""
    await ctx.close_sse_stream()
    await anyio.sleep(WORK)
    return "answered after the stream was resumed"


TOOLS = [test_reconnection]
