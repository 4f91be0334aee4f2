"""A job's URLs, for callers and callback receivers alike: signed where links have to carry the right to read."""

from __future__ import annotations

from gateway.auth.links import Signer
from gateway.caller.links import JobUrls
from gateway.core.job import Job
from gateway.core.policy import Policy
from gateway.core.reach import cancelable
from gateway.worker.port import Policies


class Links:
    """Makes job URLs. `signer`: None under the gateway's own credential, where a job's id is enough to read it."""

    def __init__(self, policies: Policies, signer: Signer | None) -> None:
        self._policies = policies
        self._signer = signer

    def urls(self, job: Job, origin: str, share: str = "") -> JobUrls:
        """Return the URLs of `job` below `origin`, for whoever has the share of it that is so named.

        A signature is good while they answer, be it with 410.
        """
        policy = self._policies.policy(job.route)
        return JobUrls(origin, job.id, self._sig(job, policy), share, cancelable(job, policy))

    def _sig(self, job: Job, policy: Policy) -> str | None:
        if self._signer is None:
            return None
        return self._signer.sign(job.id, (job.finished or job.deadline) + policy.retention + policy.tombstone)
