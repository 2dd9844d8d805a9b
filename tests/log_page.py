"""docs/log.md, made from the log calls of the source: `python -m tests.log_page` writes it.

Event, level, fields and origin are found in the code. What each event means, and what to do, is in
`tests/log/meanings.toml`.
"""

import tomllib
from pathlib import Path

from tests.log.events import FIELDS, LEVELS, Event, events

PAGE = Path(__file__).parents[1] / "docs" / "log.md"

_HEAD = """\
# The log

Every line of the log has `timestamp`, `level`, `event` and `logger`, and the fields of its event. In a pod and in a
file it is JSON, on a terminal text (`log.format`). The event is a constant text, so that you can search for it and
count it. The lines that a worker process writes have its number in `worker`.

- **error**: something does not work until you do something. **warning**: work for you while the server goes on.
  **info**: good to know. **debug**: shown with `log.level = "debug"` only.
- One cause has one line a second, and one traceback a minute. `repeated` says how many lines were left out since the
  last one. An exception has its text in `error` and its traceback in `exception`.
- [troubleshooting.md](troubleshooting.md) has what the server says of each mistake in a configuration, an object file
  or a kubeconfig. [Below](#a-line-for-each-query) is what the line of a query has.

This page is made from the code: `python -m tests.log_page`.
"""

_QUERIES = """\
## A line for each query

`[[query_log]]` in the configuration asks for these lines, and `dnsserver tail` shows the same of a running server. The
event is `query` and the level `info`. Its fields are `client`, `port`, `protocol`, `id`, `name`, `type`, `class` (only
if it is not IN), `rcode` (`DROP` if there was no reply), `reason` ([all reasons](failing-names.md#reasons)), `ede` and
`text` (the extended error), `also` (errors that an upstream told), `source` (`local`, `cache` or `upstream`),
`upstream`, `seconds` (until the reply), `request` and `reply` (octets), and `do`. What is not known is left out.

Two more events come from the log itself: `log lines were lost` (warning, `count`: nobody reads the log, or its disk is
full; answers do not wait for it), and `log line not made` (error, a bug).
"""

# The events by their subject, each with what it means and what to do.
SUBJECTS: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "log" / "meanings.toml").read_text())


def page() -> str:
    """Return the page."""
    found = events()
    parts = [_HEAD]
    for subject, meanings in SUBJECTS.items():
        rows = [_row(event, meanings[event.text]) for text in meanings for event in found if event.text == text]
        head = ("| event | level | fields | from | what it means, and what to do |", "|---|---|---|---|---|")
        parts.append("\n".join((f"## {subject}", "", *head, *rows, "")))
    parts.append(_QUERIES)
    fields = [f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items() if name != "exc_info"]
    parts.append("\n".join(("## Fields", "", "| field | |", "|---|---|", *fields, "")))
    return "\n".join(parts)


def _row(event: Event, meaning: str) -> str:
    names = [name for name in event.fields if name != "exc_info"]
    if "exc_info" in event.fields:
        names += ["error", "exception"]
    fields = ", ".join(f"`{name}`" for name in names)
    files = "<br>".join(f"`{file}`" for file in event.files)
    return f"| {event.text} | {event.level} | {fields} | {files} | {meaning} |"


def untold() -> list[str]:
    """Return the events without a meaning here, and the meanings of none."""
    told = [text for meanings in SUBJECTS.values() for text in meanings]
    assert len(told) == len(set(told))
    assert all(event.level in LEVELS for event in events())
    return sorted({event.text for event in events()} ^ set(told))


if __name__ == "__main__":
    PAGE.write_text(page())
