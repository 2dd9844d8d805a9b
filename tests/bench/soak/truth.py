"""What is true of a cluster that changes: what each name may be answered with at which time."""

import collections
import itertools
import random

import trio

from dnsserver.zone.model import Kind
from tests.cluster import endpoints, service
from tests.kube.apiserver import ApiServer
from tests.kube.generated import namespace_name

NAMES = 60  # services whose answers are looked at
CLUSTER_NAMES = 40  # of them have an address of their own, the others are headless
SPACE = namespace_name(0)
LAG = 2.0  # seconds that a change may take to be answered while everything else happens
_GRACE = 1.0  # seconds that the last address of a name is kept
_ON_THE_WAY = 1.0  # seconds: what was written to a stream that is cut then may not have come

Answer = frozenset[str] | None


class _State:
    """The answer of a name from a moment on: addresses, or None if it does not exist; `told` is when it was sent."""

    def __init__(self, since: float, answer: Answer) -> None:
        self.since = since
        self.told = float("inf")
        self.answer = answer


class Truth:
    """The services that are looked at, how they change, and what may be answered for them."""

    def __init__(self, api: ApiServer, chance: random.Random) -> None:
        self.changed = 0
        self._api = api
        self._chance = chance
        self._states: dict[str, list[_State]] = collections.defaultdict(lambda: [_State(0.0, None)])

    def begin(self) -> None:
        """Create the headless services, without endpoints, and make some changes of all services."""
        for number in range(CLUSTER_NAMES, NAMES):
            self._api.put(Kind.SERVICES, service(f"soak-{number}", namespace=SPACE))
        for _ in range(3 * NAMES):
            self.change()

    def change(self) -> None:
        """Change, delete or create one object of a service: its Service or, if it is headless, its EndpointSlice."""
        number = self._chance.randrange(NAMES)
        name, address = f"soak-{number}", f"10.200.{self._chance.randrange(256)}.{self._chance.randrange(1, 255)}"
        kind = Kind.SERVICES if number < CLUSTER_NAMES else Kind.ENDPOINTSLICES
        answer: Answer = None
        if self._chance.random() < 0.3:
            if f"{SPACE}/{name}\0" in self._api.store.objects[kind]:
                self._api.delete(kind, SPACE, name)
        else:
            answer = frozenset((address,))
            if kind is Kind.SERVICES:
                self._api.put(kind, service(name, address, namespace=SPACE))
            else:
                self._api.put(kind, endpoints(name, address, name=name, namespace=SPACE))
        self._states[name].append(_State(trio.current_time(), answer))
        self.changed += 1

    def right(self, name: str, asked: float, came: float) -> set[Answer]:
        """Return all answers that were right at some moment from `LAG` before a question was asked until it came."""
        asked -= LAG if int(name.rpartition("-")[2]) < CLUSTER_NAMES else LAG + _GRACE
        states = self._states[name]
        while len(states) > 50 and states[1].told < asked - 10 * LAG:
            del states[0]
        ends = [*(state.told for state in states[1:]), float("inf")]
        return {state.answer for state, told in zip(states, ends, strict=True) if state.since <= came and told > asked}

    def told_of(self, name: str, now: float) -> str:
        """Return when the last states of a name began and when they were sent to the server, in seconds from now."""
        states = self._states[name][-4:]
        return "; ".join(f"{state.since - now:.1f}/{state.told - now:.1f} {state.answer}" for state in states)

    def doubt(self) -> None:
        """Take back that the latest changes were sent: its watches are cut, so what is on the way may be lost."""
        now = trio.current_time()
        for state in self._latest():
            if state.told > now - _ON_THE_WAY:
                state.told = float("inf")

    def _latest(self) -> list[_State]:
        return [state for states in self._states.values() for state in states[-5:]]

    async def keep_changing(self) -> None:
        """Change something five times a second, and note when all watches have sent all changes."""
        for number in itertools.count(1):
            if not number % 20:
                self.change()
            api = self._api
            if api.streams(Kind.SERVICES) and api.streams(Kind.ENDPOINTSLICES) and api.all_told:
                now = trio.current_time()
                for states in self._states.values():
                    for state in reversed(states):
                        if state.told < now:
                            break
                        state.told = now
            await trio.sleep(0.01)
