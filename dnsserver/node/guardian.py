"""Decides from the server's answers which addresses the node has, and tells the kernel.

The node's own addresses are there as long as a server may be asked at them. The cluster's DNS addresses, which a
Service has as well, are there only while the server answers: without them kube-proxy leads to the Service's endpoints.

Whoever gives addresses gives them for `LEASE` seconds, again and again. For a cluster address that is all the time it
has; one of the node's own stays, and is only called old (`preferred_lft`, which nothing goes by). So a guardian that
ends need not ask whether another one has taken over: it stops giving, and sees whether they stay fresh.
"""

from typing import Final, NamedTuple, Protocol

from dnsserver.logger import get_logger
from dnsserver.node.addresses import FOREVER, LOOPBACK, Address, Given
from dnsserver.node.asker import Outcome, Transport
from dnsserver.node.health import Health
from dnsserver.node.report import Report
from dnsserver.node.untracked import Rule, rules

log = get_logger(__name__)

LEASE: Final = 2  # seconds that an address is given for; the kernel counts whole ones, and takes up to one more
_YEAR: Final = 365 * 86_400
_SUCCESSION: Final = LEASE + 2.0  # seconds after which nobody else gives the addresses, if they are old by then
_FIRST_PAUSE: Final = 10.0  # seconds until a cluster address is tried again at which nobody answered; doubled each time
_LONGEST_PAUSE: Final = 600.0
_PROXIES: Final = {"kube-ipvs0"}  # interfaces whose addresses are not for taking: IPVS needs them tracked


class Settings(NamedTuple):
    """What the guardian is for: the node's `own` addresses, and the `cluster`'s; and the name of its interface.

    After it was told to end it waits for the server to end, `drain` seconds at most.
    """

    own: tuple[Address, ...]
    cluster: tuple[Address, ...] = ()
    device: str = "dnsserver0"
    drain: float = 30.0


class Addresses(Protocol):
    """What `addresses.Addresses` does; each raises OSError."""

    def device(self, name: str) -> int:
        """Return the number of our interface."""

    def remove_device(self, name: str) -> None:
        """Remove it."""

    def all(self) -> list[Given]:
        """Return the addresses that there are."""

    def give(self, address: Address, device: int, valid: int, preferred: int) -> None:
        """Give one."""

    def take(self, address: Address, device: int) -> None:
        """Take one away."""

    def name(self, device: int) -> str:
        """Return the name of a device."""


class Untracked(Protocol):
    """What `untracked.Untracked` does; each raises OSError."""

    def ensure(self, wanted: list[Rule]) -> list[Rule]:
        """Add what is missing."""

    def remove(self) -> None:
        """Remove all of it."""


class _Withheld:
    """A cluster address at which nobody answered while the node had it, although the server answers elsewhere."""

    def __init__(self) -> None:
        self.pause = _FIRST_PAUSE
        self.until = float("-inf")

    def begin(self, now: float) -> None:
        self.until = now + self.pause
        self.pause = min(2 * self.pause, _LONGEST_PAUSE)


class Guardian:
    """The guardian of one node; its caller passes the time, and the results of questions."""

    def __init__(self, settings: Settings, addresses: Addresses, untracked: Untracked) -> None:
        """Do nothing yet."""
        self._settings = settings
        self._addresses = addresses
        self._untracked = untracked
        self._wanted = rules((*settings.own, *settings.cluster))
        self._server = Health()
        self.asked: dict[Address, Health] = {}  # the cluster addresses that the node has now
        self._withheld = {address: _Withheld() for address in settings.cluster}
        self._there: dict[Address, bool] = dict.fromkeys((*settings.own, *settings.cluster), False)
        self._rules = False
        self._problems: dict[str, str] = {}
        self._errors = {"interface_add": 0, "interface_check": 0, "nftables": 0}
        self._withdrawals = 0
        self._repairs = 0
        self._ending: float | None = None
        self.finished = False

    @property
    def answers(self) -> bool:
        """Whether the server answers."""
        return self._server.answers

    def note(self, address: Address, transport: Transport, outcome: Outcome, now: float) -> bool:
        """Take in what became of a question; return whether `look` has to be called now."""
        if address in self._settings.own:
            before = self._server.answers
            self._server.note(transport, outcome, now)
            if before != self._server.answers:
                self._tell_server()
            return before != self._server.answers
        health = self.asked.get(address)
        if health is None:
            return False
        health.note(transport, outcome, now)
        return not health.answers

    def end(self, now: float) -> None:
        """Begin to end: give no addresses from now on."""
        if self._ending is None:
            self._ending = now
            log.info("the guardian ends", seconds=self._settings.drain)

    def look(self, now: float) -> None:
        """See that all is as it should be, and have the kernel do what is not."""
        before = self._server.answers
        self._server.look(now)
        if before and not self._server.answers:
            self._tell_server()
        try:
            device = self._addresses.device(self._settings.device)
            given = self._addresses.all()
        except OSError as error:
            self._refused("interface_check", error)
            return
        self._problems.pop("interface_check", None)
        if self._ending is not None:
            self._look_at_the_end(given, device, now, self._ending)
            return
        self._ensure_rules()
        for address in self._settings.own:
            self._give_own(address, device, given)
        for address in self._settings.cluster:
            self._look_at_cluster(address, device, given, now)
        self._take_old(device, given)

    def report(self, now: float) -> Report:
        """Return the state."""
        withheld = [address for address in self._settings.cluster if not self._there[address]]
        return Report(
            now,
            {str(address): there for address, there in self._there.items()},
            tuple(map(str, withheld)),
            self._rules,
            self._server.answers,
            tuple(self._problems.values()),
            dict(self._errors),
            self._withdrawals,
            self._repairs,
        )

    def _tell_server(self) -> None:
        if self._server.answers:
            log.info("the server answers")
        else:
            log.warning("the server does not answer", reason=self._server.reason)

    def _ensure_rules(self) -> None:
        try:
            added = self._untracked.ensure(self._wanted)
        except OSError as error:
            self._rules = False
            self._refused("nftables", error)
            return
        if added and self._rules:
            self._repairs += 1
            log.warning("rules were gone and are put back", count=len(added))
        self._rules = True
        self._problems.pop("nftables", None)

    def _give_own(self, address: Address, device: int, given: list[Given]) -> None:
        self._give(address, device, given, _YEAR)
        for each in given:  # where older versions put it, for ever
            elsewhere = each.address == address and each.device != device and each.preferred == FOREVER
            if elsewhere and self._addresses.name(each.device) == LOOPBACK:
                self._take(address, each.device)

    def _look_at_cluster(self, address: Address, device: int, given: list[Given], now: float) -> None:
        health, withheld = self.asked.get(address), self._withheld[address]
        if health is not None:
            health.look(now)
            if not health.answers and self._server.answers:
                withheld.begin(now)
                log.error(
                    "nobody answers at a cluster address, it is taken away",
                    address=str(address),
                    reason=health.reason,
                    retry_seconds=withheld.until - now,
                )
        proxies = {self._addresses.name(each.device) for each in given if each.address == address} & _PROXIES
        known = self._problems.pop(f"proxy {address}", None)
        for name in proxies:
            problem = self._problems[f"proxy {address}"] = f"{address} is on {name}: with IPVS it cannot be the node's"
            if known is None:
                log.error("kube-proxy has a cluster address itself", address=str(address), error=problem)
        if not proxies and self._server.answers and self._rules and now >= withheld.until:
            if self._give(address, device, given, LEASE) and health is None:
                self.asked[address] = Health(("udp",), now)
            return
        was_ours = self.asked.pop(address, None) is not None
        self._there[address] = False
        # It may be another guardian's; if it is nobody's, it is over in two seconds.
        if self._server.is_undecided or (self._server.answers and not was_ours):
            return
        if any(each.address == address and each.device == device for each in given):
            self._withdrawals += 1
            log.warning("a cluster address is taken away", address=str(address), reason=self._server.reason)
            self._take(address, device)

    def _give(self, address: Address, device: int, given: list[Given], valid: int) -> bool:
        there = any(each.address == address and each.device == device for each in given)
        try:
            self._addresses.give(address, device, valid, LEASE)
        except OSError as error:
            self._there[address] = False
            self._refused("interface_add", error, str(address))
            return False
        self._problems.pop(f"interface_add {address}", None)
        if self._there[address] and not there:
            self._repairs += 1
            log.warning("an address was gone and is put back", address=str(address))
        elif not self._there[address]:
            log.info("the node has an address", address=str(address), device=self._addresses.name(device))
        self._there[address] = True
        return True

    def _take(self, address: Address, device: int) -> None:
        try:
            self._addresses.take(address, device)
        except OSError as error:
            self._refused("interface_check", error)

    def _take_old(self, device: int, given: list[Given]) -> None:
        """Remove, from our own interface, the addresses of an earlier configuration that no guardian gives now."""
        if self._addresses.name(device) == self._settings.device:
            for each in given:
                if each.device == device and each.address not in self._there and not each.preferred:
                    log.info("an address of earlier is taken away", address=str(each.address))
                    self._take(each.address, device)

    def _look_at_the_end(self, given: list[Given], device: int, now: float, began: float) -> None:
        """Leave all to the next guardian if there is one. Otherwise wait for the server to end, and remove all."""
        if now < began + _SUCCESSION:
            return
        fresh = {each.address for each in given if each.device == device and each.preferred}
        if fresh & {*self._settings.own}:
            log.info("another guardian has taken over")
            self.finished = True
            return
        if self._server.answers and now < began + self._settings.drain:
            return
        for address in self._there:
            self._take(address, device)
        try:
            self._untracked.remove()
            self._addresses.remove_device(self._settings.device)
        except OSError as error:
            self._refused("nftables", error)
        log.info("addresses and rules are removed")
        self.finished = True

    def _refused(self, kind: str, error: OSError, address: str = "") -> None:
        self._errors[kind] += 1
        problem = f"{kind}: {address + ': ' if address else ''}{error.strerror or error}"
        key = f"{kind} {address}".strip()
        if self._problems.get(key) != problem:
            self._problems[key] = problem
            log.error("the kernel refused", reason=kind, address=address, error=error.strerror or str(error))
