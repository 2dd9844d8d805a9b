"""What a bare HTTP client needs to read the pages of a cluster: `python -m tests.bench.bare KUBECONFIG`.

Prints seconds, those of processor time among them; of the reading alone, without imports or the first connection. The
pages come compressed, as the server has them: to compress them takes the API server as long as all the rest.
"""

import base64
import json
import sys
import time
from pathlib import Path

import httpx2
import trio

from dnsserver.kube.credentials import ApiEndpoint, tls_context
from tests.kube.read_lists import plain


async def read(text: str) -> tuple[float, float]:
    """Read all pages of all kinds; return the seconds, and those of processor time. `text` is a kubeconfig, as JSON."""
    config = json.loads(text)
    cluster = config["clusters"][0]["cluster"]
    token = config["users"][0]["user"]["token"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    access = ApiEndpoint(cluster["server"], f"Bearer {token}", authority)
    headers = {"authorization": access.authorization, "accept-encoding": "gzip"}
    async with httpx2.AsyncClient(
        base_url=access.server, verify=tls_context(access), headers=headers, timeout=60
    ) as client:
        start, used = time.perf_counter(), time.process_time()
        await plain(client)
        return time.perf_counter() - start, time.process_time() - used


if __name__ == "__main__":
    print(json.dumps(trio.run(read, Path(sys.argv[1]).read_text())))
