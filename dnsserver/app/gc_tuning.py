"""How the cyclic garbage collector is kept from holding up answers.

Neither the zone nor a reply has cycles, so there is little for it to find; but a full collection walks everything that
is held: with 25,000 objects of the API that is some 40 ms in which nobody is answered.
"""

import gc


def collect_seldom() -> None:
    """Have it look at young objects after 20,000 new ones, not 700, and at all of them a thousand times less often."""
    gc.set_threshold(20_000, 20, 50)


def spare_zone() -> None:
    """Have it never look again at what is held now, the zone after its first sync."""
    gc.collect()
    gc.freeze()
