"""The questions that one socket waits for: which IDs are in use, since when, and for which question."""

from array import array

IDS = 1 << 16

_FREE, _WAITING, _GIVEN_UP = 0, 1, 2


class Outstanding:
    """A table with one row for each ID. IDs are used in runs of consecutive numbers, so that a batch takes a few copies
    of memory and no step for each query. An ID is used again only after all others that are free.

    `state` (1 means waiting), `since` and `asked` are indexed by ID. They are public, because the receive loop of the
    batch client does for many replies what `finish` does for one.
    """

    __slots__ = ("_next", "_size", "_window", "asked", "count", "since", "state")

    def __init__(self, window: int) -> None:
        self._window = window
        # Small tables keep many connections cheap; four times the window keeps an ID unused long after its reply.
        self._size = min(IDS, max(1024, 1 << (4 * window - 1).bit_length()))
        self.state = bytearray(
            IDS
        )  # of every ID that a reply may carry, so that the receive loop need not compare first
        self.since = array("q", bytes(8 * self._size))
        self.asked = array("I", bytes(4 * self._size))
        self._next = 0
        self.count = 0

    @property
    def room(self) -> int:
        """How many more questions may be outstanding."""
        return self._window - self.count

    def reserve(self, wanted: int) -> tuple[int, int]:
        """Return the first of a run of unused IDs and the run's length, up to `wanted`; length 0 if all are in use."""
        if self.count >= self._size:
            return 0, 0
        state = self.state
        first = self._next
        while True:
            if first == self._size:
                first = 0
            if state[first] != _WAITING:
                break
            first += 1
        end = min(first + wanted, self._size)
        busy = state.find(_WAITING, first, end)
        return first, (end if busy < 0 else busy) - first

    def begin(self, first: int, question: int, since: "array[int]") -> None:
        """Wait for the IDs from `first` on, which ask the questions from `question` on; `since` has their times."""
        number = len(since)
        end = first + number
        self.state[first:end] = b"\1" * number
        self.since[first:end] = since
        self.asked[first:end] = array("I", range(question, question + number))
        self._next = end
        self.count += number

    def give_up(self, before: int) -> int:
        """Stop waiting for questions that were asked before that time; return how many there were."""
        state, since = self.state, self.since
        given_up = 0
        ident = state.find(_WAITING, 0, self._size)
        while ident >= 0:
            if since[ident] < before:
                state[ident] = _GIVEN_UP
                given_up += 1
            ident = state.find(_WAITING, ident + 1, self._size)
        self.count -= given_up
        return given_up

    def is_waiting(self, ident: int) -> bool:
        """Tell whether a question with that ID waits for its reply."""
        return self.state[ident] == _WAITING

    def was_given_up(self, ident: int) -> bool:
        """Tell whether a reply with that ID is late, rather than unexpected."""
        return self.state[ident] == _GIVEN_UP

    def forgive(self, ident: int) -> None:
        """Forget that an ID was given up: its late reply has come."""
        self.state[ident] = _FREE

    def finish(self, ident: int) -> int:
        """Stop waiting for an ID, and return since when it waited."""
        self.state[ident] = _FREE
        self.count -= 1
        return self.since[ident]
