"""What somebody who asks about a job is told when the store is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.core.errors import JobUnavailable, StoreUnavailable
from gateway.store.port import StoreDown


@contextmanager
def told(job_id: str | None = None, detail: str = "the job store cannot be reached; ask again") -> Iterator[None]:
    """Raise `JobUnavailable` of the job, or `StoreUnavailable` without one, for a store that is down.

    A job is named only to whoever it is known to belong to.
    """
    try:
        yield
    except StoreDown as error:
        if job_id is None:
            raise StoreUnavailable(detail) from error
        raise JobUnavailable(detail, job_id=job_id) from error
