# SPDX-License-Identifier: Apache-2.0
"""run() in a thread beside an asyncio program: asyncio_program.py SOURCE

run() releases the GIL while it waits, so the event loop goes on; the adaptor hands each finished flow to the loop, and
the end of the program stops the run.
"""

from __future__ import annotations

import asyncio
import sys

import aicore


class ToLoop(aicore.DatabaseAdaptor):
    """Puts finished flows into an asyncio queue. Its methods are called on the delivery's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[aicore.Flow]) -> None:
        self._loop, self._queue = loop, queue

    def write(self, batch: aicore.FlowBatch) -> None:
        for flow in batch.kind("remove") or ():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, flow)


async def main(source: str) -> int:
    flows: asyncio.Queue[aicore.Flow] = asyncio.Queue()
    stack = aicore.StackLan()
    stack.add_database_adaptor(ToLoop(asyncio.get_running_loop(), flows))
    with aicore.PacketDispatcher(source) as dispatcher:
        dispatcher.stack = stack
        run = asyncio.create_task(asyncio.to_thread(dispatcher.run))
        seen = ticks = 0
        while not (run.done() and flows.empty()):
            ticks += 1  # the rest of an asyncio program goes on here
            try:
                flow = await asyncio.wait_for(flows.get(), 0.05)
            except asyncio.TimeoutError:
                continue
            seen += 1
            print(flow.key, flow.layer7, flow.bytes)
        await run
    print(f"{seen} flows")
    return seen


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
