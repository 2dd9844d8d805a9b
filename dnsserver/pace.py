"""When tasks that look at something from time to time do so: all at the same moments.

An idle server does nothing but look. A turn of the event loop takes most of what a look takes, so that ten looks in one
turn cost little more than one.
"""

from math import ceil

import trio


def next_look(every: float) -> float:
    """Return when on the loop's clock the next look is, if there is one every so many seconds.

    Looks are at the multiples of that, so that those of all tasks fall together. The first comes after half of it at
    least, and one and a half at most; all others after the whole.
    """
    return ceil(trio.current_time() / every + 0.5) * every
