"""Which namespaces have a label of their own, so that a scrape does not grow with the cluster."""

from collections.abc import Container, Iterable, Iterator, Mapping

from dnsserver.metrics.numbers import MISSING, OTHER, Namespace

_MOST = 200
_ALL = -1  # stands for the questions among the rcodes


class NamespaceLabels:
    """Gives up to `most` namespaces a label, the busiest first, and counts all others as `OTHER`.

    Who has a label keeps it until the namespace is gone. No count goes back by that: what was asked of a namespace
    while it had no label stays with `OTHER`.
    """

    def __init__(self, most: int = _MOST) -> None:
        """Begin with nothing counted."""
        self._most = most
        self._labelled: set[str] = set()
        self._before: dict[tuple[str, int], int] = {}  # what was counted of each namespace when it was last looked at
        self._counts: dict[tuple[str, int], int] = {}  # by label

    def update(self, processes: Iterable[Mapping[str, Namespace]], existing: Container[str]) -> dict[str, Namespace]:
        """Return the counts by label, when each process has counted so much; `existing` are the namespaces now."""
        totals: dict[tuple[str, int], int] = {}
        for namespaces in processes:
            for name, counts in namespaces.items():
                if name in existing or name in {MISSING, OTHER}:
                    for key, count in _flat(name, counts):
                        totals[key] = totals.get(key, 0) + count
        self._forget({name for name, _ in self._before} - {name for name, _ in totals})
        for key, total in sorted(totals.items(), key=lambda item: -item[1]):
            name, rcode = key
            if name not in self._labelled and name not in {MISSING, OTHER} and len(self._labelled) < self._most:
                self._labelled.add(name)
            label = name if name in self._labelled or name == MISSING else OTHER
            before = self._before.get(key, 0)
            grown = total - before if total >= before else total
            self._before[key] = total
            self._counts[label, rcode] = self._counts.get((label, rcode), 0) + grown
        return self._by_label()

    def _forget(self, gone: set[str]) -> None:
        self._labelled -= gone
        self._before = {key: count for key, count in self._before.items() if key[0] not in gone}
        self._counts = {key: count for key, count in self._counts.items() if key[0] not in gone - {MISSING, OTHER}}

    def _by_label(self) -> dict[str, Namespace]:
        failures: dict[str, dict[int, int]] = {}
        for (label, rcode), count in self._counts.items():
            if rcode != _ALL:
                failures.setdefault(label, {})[rcode] = count
        questions = ((label, count) for (label, rcode), count in self._counts.items() if rcode == _ALL)
        return {label: Namespace(questions=count, failures=failures.get(label, {})) for label, count in questions}


def _flat(name: str, counts: Namespace) -> Iterator[tuple[tuple[str, int], int]]:
    """Yield the counts of a namespace one by one."""
    yield (name, _ALL), counts.questions
    for rcode, count in counts.failures.items():
        yield (name, rcode), count
