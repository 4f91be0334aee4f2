"""The URLs of a job, as its callers see them."""

from __future__ import annotations

import msgspec

PREFIX = "/-/jobs/"


class JobUrls(msgspec.Struct, frozen=True):
    """Makes a job's URLs. `origin` is scheme and authority; `sig` proves the right to read, where links carry it."""

    origin: str
    job_id: str
    sig: str | None = None
    share: str = ""
    """What names this caller's share of a job that several calls share; "" where it has none."""
    cancelable: bool = False
    """Whether there is a way to cancel the job, as it stands now."""

    def _url(self, suffix: str, query: str = "") -> str:
        return f"{self._begin}{suffix}{self._query(query)}"

    @property
    def _begin(self) -> str:
        return f"{self.origin}{PREFIX}{self.job_id}"

    def _query(self, query: str = "") -> str:
        if self.share:
            query = f"{query}&share={self.share}" if query else f"share={self.share}"
        if self.sig:
            query = f"{query}&sig={self.sig}" if query else f"sig={self.sig}"
        return f"?{query}" if query else ""

    @property
    def monitor(self) -> str:
        """The JSON view of the job."""
        return self._url("")

    @property
    def poll(self) -> str:
        """200 while it runs, then a redirect to the result."""
        return self._url("/poll")

    def wait(self, hop: int, on_timeout: str | None = None) -> str:
        """Held, then a redirect to the next hop or the outcome.

        `on_timeout`: what the caller said of a wait that runs out, for clients that send it with their first call only.
        """
        return self._url("/wait", f"hop={hop}" if on_timeout is None else f"hop={hop}&on-timeout={on_timeout}")

    @property
    def result(self) -> str:
        """The outcome."""
        return self._url("/result")

    @property
    def events(self) -> str:
        """The event stream."""
        return self._url("/events")

    @property
    def cancel(self) -> str:
        """Asks for the job to be canceled, or gives this caller's share of it up."""
        return self._url("/cancel")

    @property
    def resolve(self) -> str:
        """Takes a verdict on the job while its start is in doubt."""
        return self._url("/resolve")

    @property
    def callbacks(self) -> str:
        """The caller's deliveries of the outcome, and where to ask for one more."""
        return self._url("/callbacks")

    @property
    def link_header(self) -> str:
        """The Link field (RFC 8288) of every answer about the job."""
        begin, query = self._begin, self._query()
        links = (
            f'<{begin}{query}>; rel="monitor", '
            f'<{begin}/result{query}>; rel="result", '
            f'<{begin}/events{query}>; rel="events"'
        )
        return f'{links}, <{begin}/cancel{query}>; rel="cancel"' if self.cancelable else links
