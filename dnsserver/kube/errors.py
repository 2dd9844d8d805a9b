"""The ways in which a request to an API server can fail, and which response means which."""
# ruff: noqa: N818  (they are named for what happened; each is caught by that name, and all by ApiError)

from typing import Final

import msgspec


class ApiError(Exception):
    """The API did not give what was asked for; `retry_after` is what it said about coming back, in seconds."""

    reason = "error"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Disconnected(ApiError):
    """No connection, or the end of one in the middle of something, or silence."""

    reason = "disconnected"


class Unauthorized(ApiError):
    """401: these credentials are not, or no longer, known."""

    reason = "unauthorized"


class Forbidden(ApiError):
    """403: known, but without the right."""

    reason = "forbidden"


class NotFound(ApiError):
    """404: a server without this kind."""

    reason = "missing"


class Gone(ApiError):
    """410: the version or page asked for is no longer kept."""

    reason = "gone"


class Refused(ApiError):
    """400, 406, 422: the server does not understand this way of asking."""

    reason = "refused"


class TooManyRequests(ApiError):
    """429: come back later."""

    reason = "too-many-requests"


class TooLargeVersion(ApiError):
    """504 of a server that has not reached the version asked for."""

    reason = "version-ahead"


class ServerFailure(ApiError):
    """Any other answer but 200."""

    reason = "server-failure"


class WatchFailure(ServerFailure):
    """An ERROR event of any other code within a watch: from the same version on it may come again and again."""

    reason = "watch-failure"


class Malformed(ApiError):
    """200, but not the JSON that belongs there."""

    reason = "malformed"


class TooLarge(Malformed):
    """More than an answer, or a line of one, may have."""


class Undecodable(Malformed):
    """200, but in an encoding that was not asked for, or not in the one that its head names."""


def first_of(group: BaseExceptionGroup[ApiError]) -> ApiError:
    """Return one of the errors of a group, which mostly has but one."""
    error = group.exceptions[0]
    return first_of(error) if isinstance(error, BaseExceptionGroup) else error


_LONGEST_WAIT: Final = 600.0  # seconds that are waited at most where a server, or a page in its place, says more

_BY_CODE: dict[int, type[ApiError]] = {
    400: Refused,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    406: Refused,
    410: Gone,
    422: Refused,
    429: TooManyRequests,
}


class _Cause(msgspec.Struct):
    reason: str = ""


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] = []
    retry_after_seconds: float | None = None


class Status(msgspec.Struct):
    """The API's own description of a failure, in the body of an HTTP error or in an ERROR event."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


def error_in_watch(status: Status) -> ApiError:
    """Return the exception for the Status of an ERROR event."""
    error = error_of(status, status.code)
    return WatchFailure(str(error), retry_after=error.retry_after) if type(error) is ServerFailure else error


def error_of(status: Status, code: int, retry_after: str = "") -> ApiError:
    """Return the exception for a Status.

    `code` is that of HTTP, `retry_after` the header's value, which may be a date: then it is not used.
    """
    details = status.details or _Details()
    wait = float(retry_after) if retry_after.isdecimal() else details.retry_after_seconds
    message = f"{code} {status.reason}: {status.message}"
    if any(cause.reason == "ResourceVersionTooLarge" for cause in details.causes):
        return TooLargeVersion(message, retry_after=wait)
    if status.reason in {"Expired", "Gone"}:
        return Gone(message)
    return _BY_CODE.get(code, ServerFailure)(message, retry_after=None if wait is None else min(wait, _LONGEST_WAIT))
