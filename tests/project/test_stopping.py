"""Tasks that forget a cancellation end nevertheless."""

import asyncio

from project.stopping import stopped


async def test_a_task_that_forgets_the_first_cancellation_ends():
    forgot = asyncio.Event()

    async def forgetful() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if forgot.is_set():
                    raise
                forgot.set()

    task = asyncio.create_task(forgetful())
    await asyncio.sleep(0)
    await stopped([task])
    assert forgot.is_set()
    assert task.cancelled()


async def test_a_task_that_fails_while_it_ends_is_over_as_well():
    async def failing() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise OSError("the line is gone")

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await stopped([task])
    assert isinstance(task.exception(), OSError)


async def test_nothing_to_end():
    await stopped([])
