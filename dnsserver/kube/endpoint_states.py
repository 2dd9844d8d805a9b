"""The endpoints of a Service as its EndpointSlices have them now, ready or not: who asks wants to see all of them.

The zone keeps ready ones, and of others their number, as no answer needs more.
"""

from collections.abc import Iterable, Iterator

import msgspec

SERVICE_LABEL = "kubernetes.io/service-name"


class EndpointState(msgspec.Struct, frozen=True):
    """One endpoint: its addresses, what stands for it, and whether it is ready.

    `state` is "ready", "not ready", "ending, still serving" or "ending". `pod` is NAMESPACE/NAME, empty where the
    endpoint is no pod; `hostname`, `node` and `zone` are empty where the slice does not say them.
    """

    addresses: tuple[str, ...]
    state: str
    slice: str
    hostname: str = ""
    pod: str = ""
    node: str = ""
    zone: str = ""


class _Conditions(msgspec.Struct):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None

    @property
    def state(self) -> str:
        """An endpoint counts as ready and as serving where its slice does not say otherwise (discovery.k8s.io/v1).

        One that ends and is ready, as a Service may publish addresses that are not, is in answers: it is "ready".
        """
        if self.ready is not False:
            return "ready"
        if self.terminating:
            return "ending" if self.serving is False else "ending, still serving"
        return "not ready"


class _Target(msgspec.Struct):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class _Endpoint(msgspec.Struct, rename="camel"):
    addresses: list[str] | None = None
    conditions: _Conditions | None = None
    hostname: str | None = None
    node_name: str | None = None
    zone: str | None = None
    target_ref: _Target | None = None


class _Metadata(msgspec.Struct):
    name: str = ""
    namespace: str = "default"
    labels: dict[str, str] | None = None


class _Slice(msgspec.Struct):
    metadata: _Metadata
    endpoints: list[_Endpoint] | None = None


class _SliceList(msgspec.Struct):
    items: list[_Slice] | None = None


def of_list(text: bytes) -> tuple[EndpointState, ...]:
    """Return the endpoints of an EndpointSliceList in JSON. Raises msgspec.MsgspecError."""
    return tuple(_states(msgspec.json.decode(text, type=_SliceList).items or ()))


def of_parsed(parsed: object, namespace: str, service: str) -> tuple[EndpointState, ...]:
    """Return the endpoints of an EndpointSlice that was read from YAML, if it is of that Service.

    Raises msgspec.MsgspecError.
    """
    found = msgspec.convert(parsed, _Slice)
    own = (found.metadata.namespace, (found.metadata.labels or {}).get(SERVICE_LABEL))
    return tuple(_states((found,))) if own == (namespace, service) else ()


def _states(slices: Iterable[_Slice]) -> Iterator[EndpointState]:
    for part in slices:
        for endpoint in part.endpoints or ():
            target = endpoint.target_ref
            is_pod = target is not None and target.kind == "Pod"
            yield EndpointState(
                tuple(endpoint.addresses or ()),
                (endpoint.conditions or _Conditions()).state,
                part.metadata.name,
                endpoint.hostname or "",
                f"{target.namespace or part.metadata.namespace}/{target.name}" if is_pod and target else "",
                endpoint.node_name or "",
                endpoint.zone or "",
            )
