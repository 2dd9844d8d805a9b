"""An Explanation as lines for people; the last one is the result."""

from collections.abc import Iterator

from dnsserver.explain.client import Client
from dnsserver.explain.report import Answered, Explanation, Source, Way, listed, why_not

_RECORDS = 8  # records of one answer that are shown


def lines(found: Explanation) -> Iterator[str]:
    """Yield the lines."""
    yield f"{found.name} ({' and '.join(found.types)}) for {found.client.who}"
    yield ""
    yield from _of_client(found.client, found.ndots)
    yield ""
    yield from _of_ways(found)
    yield ""
    yield from _of_questions(found)
    for note in found.notes:
        yield f"note: {note}"
    if found.nearest:
        yield f"similar: {', '.join(found.nearest)}"
    if found.notes or found.nearest:
        yield ""
    yield found.verdict


def _of_client(client: Client, ndots: int) -> Iterator[str]:
    here = {"yes": "this server", "no": "not this server", "unknown": "assumed to be this server"}[client.here]
    yield f"nameservers  {' '.join(client.nameservers) or 'not known here'} ({here})"
    yield f"search       {' '.join(client.search) or 'none'}"
    yield f"options      ndots:{ndots}{''.join(f' {each}' for each in client.options if not each.startswith('ndots:'))}"


def _of_ways(found: Explanation) -> Iterator[str]:
    """Yield the questions of the resolvers; resolvers that ask the same share the lines."""
    shown: dict[object, list[Way]] = {}
    for way in found.ways:
        shown.setdefault((way.asks, way.ending), []).append(way)
    by_place = {(each.name, each.type): each for each in found.questions}
    for way in found.ways:
        ways = shown.pop((way.asks, way.ending), None)
        if ways is None:
            continue
        yield f"{listed(ways)} ask{'s' if len(ways) == 1 else ''}:"
        for number, ask in enumerate(way.asks, 1):
            said = ", ".join(f"{type_} {_short(by_place[ask.name, type_])}" for type_ in ask.types)
            yield f"  {number}. {ask.name}  {said}  ({ask.why})"
        if not way.asks:
            yield "  nothing"
        yield f"  {_end(way)}"


def _end(way: Way) -> str:
    end = {
        "found": "found",
        "no-data": "not found: the name exists, but has no such records",
        "not-found": "not found: no such name",
        "failed": "failed: the name may exist, but no answer came",
    }[way.ending]
    return f"{end}{f' ({way.why})' if way.why else ''}"


def _short(answer: Answered) -> str:
    if answer.found:
        return f"{len([record for record in answer.records if record.type == answer.type])} found"
    return "no data" if answer.rcode == "NOERROR" else answer.rcode


def _of_questions(found: Explanation) -> Iterator[str]:
    """Yield the answers; types of a name with equal texts share the lines.

    Only the answer that tells most has advice: a search list asks for many names that nobody meant.
    """
    together: dict[object, list[Answered]] = {}
    for answer in found.questions:
        key = answer.type if answer.found else (answer.rcode, answer.reason, answer.text, answer.errors)
        together.setdefault((answer.name, key), []).append(answer)
    for answers in together.values():
        first = answers[0]
        no_data = not first.found and first.rcode == "NOERROR"
        types = " and ".join(answer.type for answer in answers)
        yield f"{first.name} {types}: {first.rcode}{', no data' if no_data else ''}"
        yield from _of_answer(first, tuple(dict.fromkeys(source for answer in answers for source in answer.sources)))
        if first.advice and any((answer.name, answer.type) == found.tells for answer in answers):
            yield f"  do: {first.advice}"
        yield ""


def _of_answer(answer: Answered, sources: tuple[Source, ...]) -> Iterator[str]:
    for record in answer.records[:_RECORDS]:
        yield f"    {record.name} {record.ttl} {record.type} {record.data}"
    if len(answer.records) > _RECORDS:
        yield f"    and {len(answer.records) - _RECORDS} more"
    for source in sources:
        yield f"  from {_of_source(source)}"
    text = ""
    if not answer.found:
        text = why_not(answer)
        yield f"  why: {answer.reason}{f': {text}' if text else ''}"
    for error in answer.errors:
        more = f": {error.text}" if error.text not in {"", text} else ""
        yield f"  EDE {error.code} ({error.name or 'not known here'}){more}"


def _of_source(source: Source) -> str:
    more = []
    if source.upstream:
        more.append(f"upstream {source.upstream}")
    if source.age is not None:
        more.append(f"{source.age:.1f} s old")
    if source.seconds is not None:
        more.append(f"after {1000 * source.seconds:.1f} ms")
    if source.place:
        more.append(source.place)
    return f"{source.text}{_in_brackets(more)}"


def _in_brackets(words: list[str]) -> str:
    return f" ({', '.join(words)})" if words else ""
