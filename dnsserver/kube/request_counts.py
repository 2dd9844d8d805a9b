"""Requests to the API server, counted by how they ended."""

from dnsserver.metrics import REST, Histogram, Request

NO_ANSWER = "<error>"  # client-go's word for the status code of a request without an answer


class RequestCounts:
    """What was asked since the start; every request is a GET."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self._counts: dict[tuple[str, str], int] = {}
        self._durations: dict[str, Histogram] = {}

    def add(self, host: str, code: str, seconds: float) -> None:
        """Count a request; `code` is the status that the answer began with after so many seconds."""
        self._counts[host, code] = self._counts.get((host, code), 0) + 1
        self._durations.setdefault(host, Histogram(REST)).observe(seconds)

    def statistics(self) -> tuple[Request, ...]:
        """Return the requests in numbers; the durations are those of a host, with one of its codes."""
        shown: set[str] = set()
        found = []
        for (host, code), count in self._counts.items():
            durations = None if host in shown else self._durations[host]
            shown.add(host)
            found.append(Request(method="GET", code=code, host=host, count=count, durations=durations))
        return tuple(found)
