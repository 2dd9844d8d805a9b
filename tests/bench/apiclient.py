"""A client of any API server, by a kubeconfig: it asks, writes and patches objects, one at a time."""

import http.client
import json
import ssl
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_JSON, _MERGE = "application/json", "application/merge-patch+json"


class ApiClient:
    """The API server of a kubeconfig, whose user has a token."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = urlsplit(cluster["server"])
        authority = cluster.get("certificate-authority-data")
        text = b64decode(authority).decode() if authority else Path(cluster["certificate-authority"]).read_text()
        self._tls = ssl.create_default_context(cadata=text)
        if "token" not in user:
            raise ValueError(f"{kubeconfig}: expected a user with a token")
        self._token = user["token"]

    @property
    def port(self) -> int:
        """The port of the API server."""
        return self._url.port or 443

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection for `ask`."""
        return http.client.HTTPSConnection(self._url.hostname or "", self._url.port, context=self._tls, timeout=60)

    def ask(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: object = None, kind: str = _JSON
    ) -> str:
        """Return the body of the answer. Raises RuntimeError if the status is neither 200 nor 201."""
        headers = {"authorization": f"Bearer {self._token}", "content-type": kind}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status not in {http.client.OK, http.client.CREATED}:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        return text

    def write(self, connection: http.client.HTTPSConnection, path: str, thing: dict[str, Any]) -> None:
        """Create an object, or replace it."""
        try:
            self.ask(connection, "PUT", f"{path}/{thing['metadata']['name']}", thing)
        except RuntimeError as error:
            if " 404 " not in str(error):
                raise
            self.ask(connection, "POST", path, thing)

    def once(self, method: str, path: str, body: object = None) -> Any:
        """Send one request on a new connection, and return the decoded answer. Raises RuntimeError, OSError.

        A PATCH is a merge patch (RFC 7386).
        """
        connection = self.connect()
        try:
            return json.loads(self.ask(connection, method, path, body, _MERGE if method == "PATCH" else _JSON))
        finally:
            connection.close()
