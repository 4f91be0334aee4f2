"""Questions that one call can answer together: those asked while a call is under way share the next one.

Nobody is held back to gather others: the first question of a group is asked at once, whatever comes meanwhile is one
more call. So the calls of a group are never more than one at a time, however many ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from gateway.upstream.port import Spawn

GroupT = TypeVar("GroupT", bound=Hashable)
QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")


class _Batch(Generic[QuestionT, AnswerT]):
    """Questions that are not yet asked, and the answer that all of them wait for."""

    def __init__(self) -> None:
        self.questions: list[QuestionT] = []
        self.answer: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()


class Shared(Generic[GroupT, QuestionT, AnswerT]):
    """Asks by `answer`, which is given a group and its questions."""

    def __init__(self, answer: Callable[[GroupT, Sequence[QuestionT]], Awaitable[AnswerT]], spawn: Spawn) -> None:
        self._answer = answer
        self._spawn = spawn
        self._waiting: dict[GroupT, _Batch[QuestionT, AnswerT]] = {}
        self._asking: set[GroupT] = set()

    async def ask(self, group: GroupT, question: QuestionT) -> AnswerT:
        """Return the answer to the batch that `question` is in. Raises what `answer` raised."""
        batch = self._waiting.get(group)
        if batch is None:
            batch = self._waiting[group] = _Batch()
        batch.questions.append(question)
        if group not in self._asking:
            self._asking.add(group)
            self._spawn(self._serve(group), name="shared call")
        # Others wait for it too: one that gives up must not take it away from them.
        return await asyncio.shield(batch.answer)

    async def _serve(self, group: GroupT) -> None:
        try:
            while (batch := self._waiting.pop(group, None)) is not None:
                await self._ask(group, batch)
        finally:
            self._asking.discard(group)
            if (left := self._waiting.pop(group, None)) is not None:
                left.answer.cancel()

    async def _ask(self, group: GroupT, batch: _Batch[QuestionT, AnswerT]) -> None:
        try:
            answer = await self._answer(group, batch.questions)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            batch.answer.set_exception(error)
            batch.answer.exception()  # and if nobody waits any more, there is nobody to tell
        except BaseException:
            batch.answer.cancel()
            raise
        else:
            batch.answer.set_result(answer)
