"""Every error that a caller can be told, as RFC 9457 problem details.

Problem
├── CallerProblem                      the request is at fault: change it, then send it again
│   ├── BadRequest            400  bad-request
│   ├── BadArgumentsProblem   400  bad-arguments
│   ├── AmbiguousHeader       400  ambiguous-header
│   ├── UnknownMode           400  unknown-mode
│   ├── ModeNotAllowed        400  mode-not-allowed
│   ├── BadCallback           400  bad-callback-url
│   ├── CancelUnavailable     400  cancel-unavailable
│   ├── BadVerdict            400  bad-verdict
│   ├── CredentialMissing     401  credential-missing
│   ├── SignatureInvalid      401  signature-invalid
│   ├── CredentialUnproven    403  credential-unproven
│   ├── OperatorsOnly         403  operators-only
│   ├── ReadOnlyLink          403  read-only-link
│   ├── PrefetchRefused       403  prefetch-refused
│   ├── NotATrigger           404  not-a-trigger
│   ├── NotFound              404  not-found
│   ├── MethodNotAllowed      405  method-not-allowed
│   ├── NotAcceptable         406  not-acceptable
│   ├── ResultNotReady        409  result-not-ready
│   ├── AlreadyEnded          409  already-ended
│   ├── JobShared             409  job-shared
│   ├── NotUnknown            409  not-unknown
│   ├── JobExpired            410  job-expired
│   ├── BodyTooLarge          413  body-too-large
│   ├── BodyTooSlow           408  body-too-slow
│   ├── HeadTooSlow           408  head-too-slow
│   ├── KeyReused             422  idempotency-key-reused
│   └── HeadersTooLarge       431  headers-too-large
├── JobProblem                         the job is at fault, or time is
│   ├── JobCanceled           409  job-canceled
│   ├── WaitTimeout           504  wait-timeout
│   └── JobDeadline           504  job-deadline
├── UpstreamProblem                    the upstream is at fault
│   ├── UpstreamUnreachable   502  upstream-unreachable   nothing was sent: safe to retry
│   ├── UpstreamAmbiguous     502  upstream-ambiguous     it may have run: do not send it again
│   ├── StartNeverRan         502  start-never-ran        a person says so: safe to retry
│   ├── UpstreamCredentials   502  upstream-credentials
│   └── OutcomeUnreadable     502  outcome-unreadable
└── GatewayProblem                     the gateway is at fault
    ├── InternalError         500  internal-error
    ├── StoreUnavailable      503  store-unavailable      safe to retry, unless it names a job: ask for that
    ├── JobUnavailable        503  job-unavailable        the job is known and may run: ask for it, do not send it again
    └── Draining              503  draining
"""

from __future__ import annotations

from typing import ClassVar, Literal

PROBLEM_TYPE = "urn:callmode:problem:"
"""What every `type` member begins with."""


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An error with an answer. `detail` is for people and holds no secret.

    `job_id` names the job concerned, if any; `headers` are fields to send along.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    fault: ClassVar[Literal["caller", "job", "upstream", "gateway"]]
    retryable: bool = False
    """Whether sending the same request once more is safe and may help: of the kind, unless one of it says otherwise."""

    def __init__(
        self,
        detail: str = "",
        *,
        job_id: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        retryable: bool | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.job_id = job_id
        self.headers = headers
        if retryable is not None:
            self.retryable = retryable


class CallerProblem(Problem):
    """The request is at fault."""

    fault = "caller"


class JobProblem(Problem):
    """The job did not do what was asked, or not in time."""

    fault = "job"


class UpstreamProblem(Problem):
    """The upstream did not answer as it should."""

    fault = "upstream"
    status = 502


class GatewayProblem(Problem):
    """The gateway cannot serve now."""

    fault = "gateway"
    status = 503


class BadRequest(CallerProblem):
    """The request cannot be understood."""

    status, code, title = 400, "bad-request", "The request cannot be understood"


class BadArgumentsProblem(CallerProblem):
    """The body or the query cannot be job arguments."""

    status, code, title = 400, "bad-arguments", "The arguments cannot be read"


class AmbiguousHeader(CallerProblem):
    """A header that decides something is there more than once."""

    status, code, title = 400, "ambiguous-header", "A header that may come once came more than once"


class UnknownMode(CallerProblem):
    """The call mode asked for does not exist."""

    status, code, title = 400, "unknown-mode", "There is no such call mode"


class ModeNotAllowed(CallerProblem):
    """The route does not allow the call mode asked for."""

    status, code, title = 400, "mode-not-allowed", "This route does not allow that call mode"


class BadCallback(CallerProblem):
    """The callback URL is missing, malformed or not allowed."""

    status, code, title = 400, "bad-callback-url", "The outcome cannot be delivered to that URL"


class CancelUnavailable(CallerProblem):
    """Nothing that the gateway may call can cancel this job."""

    status, code, title = 400, "cancel-unavailable", "This job cannot be canceled from here"


class BadVerdict(CallerProblem):
    """A verdict that cannot be understood, or not be carried out here."""

    status, code, title = 400, "bad-verdict", "The verdict cannot be understood"


class CredentialMissing(CallerProblem):
    """The call needs a bearer token."""

    status, code, title = 401, "credential-missing", "The call needs a bearer token"


class SignatureInvalid(CallerProblem):
    """A webhook is not signed with a secret that is known here."""

    status, code, title = 401, "signature-invalid", "The signature is missing or wrong"


class CredentialUnproven(CallerProblem):
    """The token claims to be the job's owner, and the upstream has not confirmed it yet."""

    status, code, title = 403, "credential-unproven", "The upstream has not accepted this token yet"


class OperatorsOnly(CallerProblem):
    """What the admin port does, asked for from elsewhere."""

    status, code, title = 403, "operators-only", "Only an operator on the gateway's host may do that"


class ReadOnlyLink(CallerProblem):
    """The link lets whoever has it read the job; this would change it."""

    status, code, title = 403, "read-only-link", "The link is good for reading only"


class PrefetchRefused(CallerProblem):
    """A speculative request must not start a job."""

    status, code, title = 403, "prefetch-refused", "A prefetch does not start a job"


class NotATrigger(CallerProblem):
    """The path is no route."""

    status, code, title = 404, "not-a-trigger", "No trigger has this path"


class NotFound(CallerProblem):
    """There is nothing here, or nothing for this caller."""

    status, code, title = 404, "not-found", "There is no such job"


class MethodNotAllowed(CallerProblem):
    """The method does not fit the path."""

    status, code, title = 405, "method-not-allowed", "The method does not fit this path"


class NotAcceptable(CallerProblem):
    """The route does not allow the representation asked for."""

    status, code, title = 406, "not-acceptable", "This route does not answer in that form"


class ResultNotReady(CallerProblem):
    """The job has not ended yet."""

    status, code, title, retryable = 409, "result-not-ready", "The job has not ended yet", True


class AlreadyEnded(CallerProblem):
    """What was asked for makes sense for a live job only."""

    status, code, title = 409, "already-ended", "The job has ended"


class JobShared(CallerProblem):
    """Several calls share the job, and it is not said whose share is given up."""

    status, code, title = 409, "job-shared", "Other calls share this job"


class NotUnknown(CallerProblem):
    """A verdict was given on a job that needs none."""

    status, code, title = 409, "not-unknown", "The job's fate is not in doubt"


class JobExpired(CallerProblem):
    """The job is over, and its record is gone."""

    status, code, title = 410, "job-expired", "The job's record is no longer kept"


class BodyTooLarge(CallerProblem):
    """The body is over the limit."""

    status, code, title = 413, "body-too-large", "The body is over the limit"


class BodyTooSlow(CallerProblem):
    """The body did not come in time."""

    status, code, title = 408, "body-too-slow", "The body did not come in time"


class HeadTooSlow(CallerProblem):
    """The head was begun and did not come to its end in time."""

    status, code, title = 408, "head-too-slow", "The request's head did not come in time"


class KeyReused(CallerProblem):
    """The idempotency key belongs to a call with other arguments."""

    status, code, title = 422, "idempotency-key-reused", "The idempotency key belongs to a call with other arguments"


class HeadersTooLarge(CallerProblem):
    """The header section is over the limit."""

    status, code, title = 431, "headers-too-large", "The header section is over the limit"


class JobCanceled(JobProblem):
    """The job was canceled."""

    status, code, title = 409, "job-canceled", "The job was canceled"


class WaitTimeout(JobProblem):
    """The caller's wait ran out; the job goes on."""

    status, code, title = 504, "wait-timeout", "The wait ran out; the job goes on"


class JobDeadline(JobProblem):
    """The job did not end before its deadline."""

    status, code, title = 504, "job-deadline", "The job did not end before its deadline"


class UpstreamUnreachable(UpstreamProblem):
    """Nothing was sent."""

    code, title, retryable = "upstream-unreachable", "The upstream could not be reached; nothing was sent", True


class UpstreamAmbiguous(UpstreamProblem):
    """The job may have run."""

    code, title = "upstream-ambiguous", "The job may have run; do not send it again"


class StartNeverRan(UpstreamProblem):
    """A verdict on a start that was in doubt: it never ran."""

    code, title, retryable = "start-never-ran", "The start never ran; it is safe to send it again", True


class UpstreamCredentials(UpstreamProblem):
    """The upstream refuses the gateway's own credential."""

    code, title = "upstream-credentials", "The upstream refuses the gateway's credential"


class OutcomeUnreadable(UpstreamProblem):
    """The job's outcome could not be read whole."""

    code, title = "outcome-unreadable", "The job's outcome could not be read"


class InternalError(GatewayProblem):
    """A defect of the gateway."""

    status, code, title = 500, "internal-error", "The gateway failed"


class StoreUnavailable(GatewayProblem):
    """The store cannot be reached; nothing was sent upstream.

    One that names a job is not certain that the store does not have it: who asks for that job learns what became of it.
    """

    code, title, retryable = "store-unavailable", "The job store cannot be reached; nothing was sent", True


class JobUnavailable(GatewayProblem):
    """A job that was accepted cannot be told of, since the store cannot be reached."""

    code, title = "job-unavailable", "The job was accepted, and its record cannot be read now"


class Draining(GatewayProblem):
    """A replica that is shutting down takes no new calls."""

    code, title, retryable = "draining", "This replica is shutting down", True


def _leaves(kind: type[Problem]) -> list[type[Problem]]:
    below = kind.__subclasses__()
    return [kind] if not below else [leaf for child in below for leaf in _leaves(child)]


PROBLEMS: dict[str, type[Problem]] = {kind.code: kind for kind in _leaves(Problem)}
"""Every problem by its code, for records that name one."""
