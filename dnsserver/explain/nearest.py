"""Names that may have been meant: one letter more, less or different, or the same service in another namespace."""

from collections.abc import Iterable, Iterator

MOST = 5  # suggestions
_CUT = 4  # letters of a name for each that may be wrong


def allowed(word: bytes) -> int:
    """Return how many letters of a word may be wrong."""
    return min(2, max(1, len(word) // _CUT))


def near(word: bytes, names: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the names that are like a word, each with how many letters are wrong; not the word itself.

    Takes some 2 us for a name that is not, 10 for one of about the same length: give it a few hundred at a time.
    """
    most = allowed(word)
    letters = set(word)
    for name in names:
        if name == word or abs(len(name) - len(word)) > most or len(letters.symmetric_difference(name)) > 2 * most:
            continue
        wrong = distance(word, name, most)
        if wrong <= most:
            yield wrong, name


def distance(one: bytes, other: bytes, most: int) -> int:
    """Return how many letters have to be changed, added, left out or swapped with their neighbour; or more than `most`.

    This is the restricted Damerau-Levenshtein distance: each letter has its part in one mistake only.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, row = row, [i, *[0] * len(other)]
        for j, against in enumerate(other, 1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                row[j] = min(row[j], before[j - 2] + 1)
        if min(row) > most:
            return most + 1
        before = last
    return row[-1]
