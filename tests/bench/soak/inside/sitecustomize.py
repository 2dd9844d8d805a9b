"""Inside of the server of a soak: writes what its objects take, as opposed to what its process holds.

A process holds what it needed at most at one time, with what has become free since then. Only if what is in use grows
as well, something is kept that should have gone. Python imports this module at its start, as its folder is in
PYTHONPATH; it does something in the first process only. `SOAK_IN_USE` names the file that it writes.
"""

import ctypes
import os
import sys
import threading
import time
from pathlib import Path

_EVERY = 5.0  # seconds


class _Mallinfo(ctypes.Structure):
    """What mallinfo2(3) returns."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def _keep_writing(path: Path) -> None:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    fresh = path.with_suffix(".fresh")
    while True:
        fresh.write_text(f"{sys.getallocatedblocks()} {mallinfo().uordblks}")
        fresh.rename(path)
        time.sleep(_EVERY)


if "SOAK_IN_USE" in os.environ and "serve" in sys.orig_argv:
    threading.Thread(target=_keep_writing, args=[Path(os.environ["SOAK_IN_USE"])], daemon=True).start()
