"""Structured logs, for which no answer waits: a line of JSON for each event in a pod, aligned text on a terminal.

Promises: a caller never waits and never gets an exception. Lines that cannot be written are counted, and reported when
writing is possible again. One cause has at most one line a second and one traceback a minute; what was left out is
counted and reported. No line is longer than needed, or moves the cursor of a terminal. Loggers of libraries, warnings
and exceptions that nobody caught are written in the same way.
A log of queries has its own kind of lines (`query_lines`), which only their number bounds.
`setup` puts it together, `limiter` decides what is shown, `lines` makes lines of events, `writer` writes them.
"""

from dnsserver.log.setup import configure_logging, flush, report_uncaught, statistics, write

__all__ = ["configure_logging", "flush", "report_uncaught", "statistics", "write"]
