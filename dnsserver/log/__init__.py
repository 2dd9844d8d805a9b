"""Structured logs, which never hold up an answer: a line of JSON for each event in a pod, aligned text on a terminal.

Promises: who logs never waits and never gets an exception; what could not be written is counted, and told when writing
is possible again; one cause has one line a second and one traceback a minute at most, and what was left out is counted
and told; nothing in a line is longer than it has to be or moves a terminal's cursor. Libraries' loggers, warnings and
exceptions that nobody caught come out the same way.
A log of queries has lines of its own making (`query_lines`), which nothing but their number bounds.
`setup` puts it together, `limiter` says what is shown, `lines` makes lines of events, `writer` writes them.
"""

from dnsserver.log.setup import configure_logging, flush, report_uncaught, statistics, write

__all__ = ["configure_logging", "flush", "report_uncaught", "statistics", "write"]
