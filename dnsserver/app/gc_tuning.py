"""How the cyclic garbage collector is kept from delaying answers.

Neither the zone nor a reply has cycles, so that there is little to collect. But a full collection visits every object:
with 25,000 objects of the API that takes 40 ms, in which nobody is answered.
"""

import gc


def collect_seldom() -> None:
    """Have it look at young objects after 20,000 new ones, not 700, and at all of them a thousand times less often."""
    gc.set_threshold(20_000, 20, 50)


def spare_zone() -> None:
    """Have it never look again at what is held now, the zone after its first sync."""
    gc.collect()
    gc.freeze()
