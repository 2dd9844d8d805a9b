"""Replies by the exact octets of their question, each dropped when something it depends on changes.

Promises: a reply that is found is what the server would answer now, so a change needs no TTL to be seen. A change drops
the replies that depend on what changed, and no others. Pure: the time comes in as an argument.

A pod asks the same few thousand questions all day, and a reply depends on nothing but the query's octets after its ID.
So the hot path is one look-up in `ReplyTable.replies`; all the bookkeeping is on the way in and out.

States. A reply is made, kept (`home` is its table, and it stands in that, in a queue, and under each of its `depends`),
and gone (`home` is None; it may stand in its queue until that is cleared). A kept one is as it is until `due`, and
`renew` tells what it is then. Who may change them: the methods of the ReplyCache alone, `keep` on the way in and
`_forget` on the way out; whoever sends one, by `Reply.send`, changes nothing but `hits`.

Invariants. A kept reply stands in all of those places, a gone one in no table and under no key. What depends on a key
of a namespace or a service is found by it, and what depends on a service also by its namespace. An answer worked out
before a change is not kept after it: `changes` tells, where something was waited for in between.

Some replies are looked at each time they are sent, as a log of queries wants to know of them. They stand in
`ReplyTable.followed` instead, where the hot path does not find them, and whoever answers a miss does: so only they pay.

Rejected: a number for the state of the whole zone in each reply, void when that changes. With 100 changes a second it
would never hit: 5.4 us a hit, 20 a first answer (`python -m tests.bench.serve`). Or TTLs: late by as much.

Over 400 lines: the kinds of reply stand beside the cache, whose hot path calls them without knowing their kind.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator

from dnsserver.clock_queue import ClockQueue
from dnsserver.metrics import Replies
from dnsserver.resolver.tally import Labels, Sent, Tally
from dnsserver.zone.record import ADDRESSES, Key, Reason, names_of

FOREVER = float("inf")
_MANY = 64
_STEP = 256  # replies looked at in one go, at 1 us each

# Octets that a reply takes beside those of its wire and its key, which it holds twice in the worst case: as the octets
# of the question and as the labels that it depends on. Measured with tracemalloc over 20,000 replies of each kind,
# 64-bit CPython 3.11 (`tests/resolver/test_reply_cache.py` holds it within a quarter).
_REPLY = 320
_DEPENDENCY = 200
_AGING = 440
_RING = 120
_TTL = struct.Struct("!HI")  # where a TTL stands, and what it was at first

_AA = 0x04  # in the first octet of the flags
_LARGE = 4096  # octets of a reply that only TCP can have carried
# Octets of room for replies, for each question that is remembered by its number (two sets, 200 octets).
_SEEN_ONCE = 1024

SIZE = 24 * 1024 * 1024


class Reply:
    """One reply without its ID, valid as it is until `due`.

    `hits` says how often it was sent from the cache; whoever sends it adds one. The metrics follow later: `counted` is
    how many of the hits are in them. It is -1 until they have taken this reply in for the first time, and with it that
    it was sent once when it was made. `reason` says why it is as it is, for the log; only failures must have one.
    """

    __slots__ = ("counted", "depends", "hits", "home", "key", "labels", "queue", "reason", "seen", "size", "wire")

    due: float = FOREVER
    expires: float = FOREVER  # when it is of no use any more, whatever changes until then
    firsts = 0  # 1 if the metrics do not yet have that it was sent when it was made
    more = _REPLY  # octets it takes beside its wire, its key and what it depends on
    home: "ReplyTable | None"  # these four are set when it is kept
    queue: "ClockQueue[Reply]"
    key: bytes
    size: int
    reason: Reason

    def __init__(self, wire: bytes, labels: Labels, depends: tuple[Key, ...] = ()) -> None:
        """Make a reply that is valid until something it depends on changes."""
        self.wire = wire
        self.labels = labels
        self.depends = depends
        self.hits = 0
        self.seen = 0
        self.counted = -1

    @property
    def held(self) -> bool:
        """Whether it is kept."""
        return self.home is not None

    def send(self, now: float) -> bytes | None:
        """Return the octets to send now, and count them as sent; None if the reply is gone."""
        wire = self.wire if self.due > now else self.renew(now)
        if wire is not None:
            self.hits += 1
        return wire

    def renew(self, now: float) -> bytes | None:
        """Return the octets to send once `due` has come, or None if the reply is gone."""
        raise NotImplementedError


Wants = Callable[[bytes, Reply], bool]  # whether somebody wants to know when the reply to a question is sent


class CountedLater(Reply):
    """A reply whose first sending is counted like a hit, and not by its maker."""

    __slots__ = ()
    firsts = 1


class RingReply(Reply):
    """A reply whose address records take turns: each time it is sent, the next one stands first."""

    __slots__ = ("_block", "_shown", "_start", "_step", "more")

    due = -FOREVER

    def __init__(
        self, wire: bytes, labels: Labels, depends: tuple[Key, ...], start: int, step: int, block: bytes, shown: int
    ) -> None:
        """Make a reply that shows `shown` records of `step` octets at `start`, out of all those in `block`."""
        super().__init__(wire, labels, depends)
        self._start = start
        self._step = step
        self._block = block
        self._shown = shown * step
        self.more = _REPLY + _RING + len(block)

    def renew(self, now: float) -> bytes | None:
        """Return the octets with the records turned by one."""
        del now
        block = self._block
        step = self._step
        self._block = block = block[step:] + block[:step]
        wire = self.wire
        start = self._start
        shown = self._shown
        return wire[:start] + block[:shown] + wire[start + shown :]


class AgingReply(Reply):
    """A reply with records from outside, whose TTLs count down once a second until it expires.

    `record_hits` is told, as often, how many times it went out: the outside renews what is popular.
    """

    __slots__ = ("_record_hits", "_reported", "_since", "_ttls", "due", "expires", "more")

    def __init__(
        self,
        wire: bytes,
        labels: Labels,
        depends: tuple[Key, ...],
        ttls: Iterable[int],
        since: float,
        expires: float,
        record_hits: Callable[[int], None] | None = None,
    ) -> None:
        """Make a reply that was right at `since` and ends at `expires`; `ttls` are offsets of TTL fields in `wire`."""
        super().__init__(wire, labels, depends)
        self._since = since
        self.expires = expires
        self._record_hits = record_hits
        self._reported = 0
        self._ttls = b"".join([offset.to_bytes(2, "big") + wire[offset : offset + 4] for offset in ttls])
        self.more = _REPLY + _AGING + len(self._ttls)
        self.due = min(since + 1, expires)

    @property
    def lasts(self) -> float:
        """For how many seconds it is kept, from first to last."""
        return self.expires - self._since

    def renew(self, now: float) -> bytes | None:
        """Return the octets with the TTLs that are left, or None after the end."""
        if now >= self.expires:
            return None
        if self._record_hits is not None and self.hits > self._reported:
            self._record_hits(self.hits - self._reported)
            self._reported = self.hits
        age = int(now - self._since)
        wire = bytearray(self.wire)
        for offset, ttl in _TTL.iter_unpack(self._ttls):
            wire[offset : offset + 4] = max(0, ttl - age).to_bytes(4, "big")
        self.wire = bytes(wire)
        self.due = min(self._since + age + 1, self.expires)
        return self.wire


class ReplyTable(Tally):
    """The replies of one transport and address family, by the query's octets after its ID, and what they come to.

    A question's reply stands in `replies`, or in `followed` if somebody wants to know each time that it is sent.
    """

    __slots__ = ("family", "followed", "protocol", "replies")

    def __init__(self, protocol: str, family: str) -> None:
        """Make an empty table; `protocol` and `family` are metric labels (udp or tcp, 1 or 2 for IPv4 or IPv6)."""
        super().__init__()
        self.protocol = protocol
        self.family = family
        self.replies: dict[bytes, Reply] = {}
        self.followed: dict[bytes, Reply] = {}

    def held(self) -> tuple[Reply, ...]:
        """Return all replies."""
        return (*self.replies.values(), *self.followed.values())

    def find(self, key: bytes) -> Reply | None:
        """Return the reply to a question, wherever it stands."""
        return self.replies.get(key) or self.followed.get(key)

    def settle(self) -> Iterator[None]:
        """Count how often the held replies were sent so far, in steps that take little time.

        All of them are looked up at once, which takes 10 ns for each; what each was sent is counted in slices.
        """
        replies = self.held()
        yield
        yield from self.count_all(replies)

    def traffic(self) -> Sent:
        """Return what was sent since the start. With many replies this takes long: `settle` does it in steps."""
        for _ in self.settle():
            pass
        return self.sent()


class ReplyCache:
    """All tables, and which reply depends on what.

    At most `size` octets are held, what Python needs for them included. A quarter of them is for replies that say
    NXDOMAIN and an eighth for those too large for UDP: a flood of one kind pushes out nothing but its like.
    """

    def __init__(self, size: int = SIZE) -> None:
        """Make an empty cache."""
        self.tables: list[ReplyTable] = []
        self._missing, self._large, self._usual = ClockQueue[Reply](0), ClockQueue[Reply](0), ClockQueue[Reply](0)
        self._most_seen_once = 1
        self._set_limits(size)
        self._seen_once: set[int] = set()
        self._seen_once_before: set[int] = set()
        # A list of one takes a third of a dict's room, and most are that short. But all names in `com` that pods want
        # hang on there being no namespace of that name: to find one of 32,000 in a list took 0.3 ms.
        self._dependents: dict[Key, list[Reply] | dict[Reply, None]] = {}
        self._services: dict[bytes, set[Key]] = {}  # the services of a namespace that any reply depends on
        self._dropped = self._evicted = self._expired = 0
        self._wants: Wants | None = None
        self.changes = 0  # how often what answers hang on has changed: one worked out before the last time may be old

    def _set_limits(self, size: int) -> None:
        self._missing.limit = size // 4
        self._large.limit = size // 8
        self._usual.limit = size - self._missing.limit - self._large.limit
        self._most_seen_once = max(1, self._missing.limit // _SEEN_ONCE)

    def add_table(self, protocol: str, family: str) -> ReplyTable:
        """Make the table of a transport and family."""
        table = ReplyTable(protocol, family)
        self.tables.append(table)
        return table

    def keep(self, table: ReplyTable, key: bytes, reply: Reply, *, missing: bool = False) -> None:
        """Hold a reply under the octets of its question, if there can be room for it."""
        replies = table.replies
        if key in replies or key in table.followed:
            self.discard(table, key)
        length = len(reply.wire)
        queue = self._missing if missing else self._usual if length <= _LARGE else self._large
        reply.size = size = reply.more + length + 2 * len(key) + _DEPENDENCY * len(reply.depends)
        if queue.size + size > queue.limit:
            if size > queue.limit:
                reply.key = key
                table.count(reply)
                return
            while queue.size + size > queue.limit:
                self._evicted += 1
                self._forget(queue.evict())
        (table.followed if self._wants is not None and self._wants(key, reply) else replies)[key] = reply
        reply.home = table
        reply.key = key
        reply.queue = queue
        queue.append(reply)
        queue.size += size
        dependents = self._dependents
        for dependency in reply.depends:
            if dependency in dependents:
                others = dependents[dependency]
                if isinstance(others, dict):
                    others[reply] = None
                else:
                    others.append(reply)
                    if len(others) > _MANY:
                        dependents[dependency] = dict.fromkeys(others)
                continue
            dependents[dependency] = [reply]
            if isinstance(dependency, tuple) and len(dependency) == 2:
                services = self._services.get(dependency[0])
                if services is None:
                    self._services[dependency[0]] = {dependency}
                else:
                    services.add(dependency)

    def seen_before(self, key: bytes) -> bool:
        """Tell whether a question was asked here not long ago, and remember it.

        A name that does not exist is worth keeping when it is asked again, as pods' search lists do all day; of a
        random name that is asked once, a number is all that is kept, and no room is made for it.
        """
        number, seen = hash(key), self._seen_once
        if number in seen or number in self._seen_once_before:
            return True
        seen.add(number)
        if len(seen) >= self._most_seen_once:
            self._seen_once, self._seen_once_before = set(), seen
        return False

    def discard(self, table: ReplyTable, key: bytes) -> None:
        """Forget the reply to a question, if there is one, because it has expired."""
        reply = table.find(key)
        if reply is not None:
            self._expired += 1
            self._forget(reply)

    def drop(self, changed: Collection[Key]) -> None:
        """Forget every reply that depends on one of the keys; a namespace's stands for its services, too.

        So does `ADDRESSES` for all addresses.
        """
        self.changes += 1
        if ADDRESSES in changed:
            changed = {*changed, *(key for key in self._dependents if isinstance(key, bytes))}
        if len(changed) > len(self._dependents):  # a whole zone at once: look through what is held instead
            changed = [key for key in self._dependents if key in changed or (len(key) == 2 and key[:1] in changed)]
        for key in changed:
            if isinstance(key, tuple) and len(key) == 1:
                for service in tuple(self._services.get(key[0], ())):
                    self._drop(service)
            self._drop(key)

    def clear(self) -> None:
        """Forget every reply."""
        self.changes += 1
        for table in self.tables:
            for reply in table.held():
                self._dropped += 1
                self._forget(reply)

    def clear_outside(self) -> None:
        """Forget every reply with records from outside."""
        self._clear(lambda reply: isinstance(reply, AgingReply))

    def clear_own(self) -> None:
        """Forget every reply that is this server's own (AA), if only its beginning."""
        self.changes += 1
        self._clear(lambda reply: reply.wire[0] & _AA)

    def _clear(self, fits: Callable[[Reply], object]) -> None:
        for table in self.tables:
            for reply in [reply for reply in table.held() if fits(reply)]:
                self._dropped += 1
                self._forget(reply)

    def drop_altered(self, is_altered: Callable[[Reply], bool] | None, labels: Collection[bytes] = ()) -> int:
        """Forget the replies of which `is_altered` is true, as the configuration has changed; return how many.

        Only replies that have one of the `labels` are looked at closely, if there are any: 0.1 us for each label, where
        to ask costs 0.7. What is being worked out counts as worked out before the change.
        """
        self.changes += 1
        dropped = self._dropped
        if is_altered is None:
            return 0
        for table in self.tables:
            found: Iterable[Reply] = table.held()
            if labels:
                found = [reply for reply in found if _has_one(reply, labels)]
            for reply in [reply for reply in found if is_altered(reply)]:
                self._dropped += 1
                self._forget(reply)
        return self._dropped - dropped

    def sweep(self, now: float) -> Iterator[None]:
        """Forget what has expired, in steps of 0.3 to 0.9 ms.

        What is asked for again is replaced then. What is not would stay until something else needs its room. A step may
        take 4 ms where half of a queue of 12,000 is gone, as the queue then frees them all at once.
        """
        for table in tuple(self.tables):
            for number, reply in enumerate(table.held(), 1):
                if reply.expires <= now and reply.home is table:
                    self._expired += 1
                    self._forget(reply)
                if not number % _STEP:
                    yield

    def resize(self, size: int) -> None:
        """Hold at most so many octets from now on; the oldest entries are dropped first."""
        self._set_limits(size)
        for queue in (self._missing, self._large, self._usual):
            while queue.size > queue.limit:
                self._evicted += 1
                self._forget(queue.evict())

    def follow(self, wants: "Wants | None") -> Iterator[None]:
        """From now on observe the replies for which `wants` is true; held ones follow as this iterates over them.

        A step is 0.3 ms at most. Another call makes those before it void.
        """
        self._wants = wants
        return self._refile(wants)

    def _refile(self, wants: "Wants | None") -> Iterator[None]:
        for table in tuple(self.tables):
            for number, reply in enumerate(table.held(), 1):
                if self._wants is not wants:
                    return
                if reply.home is table:
                    follows = wants is not None and wants(reply.key, reply)
                    old, new = (table.replies, table.followed) if follows else (table.followed, table.replies)
                    if reply.key in old:
                        new[reply.key] = old.pop(reply.key)
                if not number % _STEP:
                    yield

    def remove_table(self, table: ReplyTable) -> None:
        """Forget a table and all its content, after its listening address was removed."""
        for reply in table.held():
            self._forget(reply)
        self.tables.remove(table)

    def settle(self) -> Iterator[None]:
        """Count how often all held replies were sent so far, in steps that take little time."""
        for table in tuple(self.tables):
            yield from table.settle()

    def statistics(self) -> Replies:
        """Return the cache in numbers; hits are as of the last time that they were settled."""
        usual, large, missing = self._usual, self._large, self._missing
        return Replies(
            replies=usual.alive + large.alive,
            missing=missing.alive,
            size=usual.size + large.size + missing.size,
            hits=sum(table.hit_shapes.total() for table in self.tables),
            dropped=self._dropped,
            evicted=self._evicted,
            expired=self._expired,
        )

    def _drop(self, key: Key) -> None:
        for reply in tuple(self._dependents.get(key, ())):
            self._dropped += 1
            self._forget(reply)

    def _forget(self, reply: Reply) -> None:
        """Remove a reply from its table, and from the indexes of all keys on which it depends."""
        home = reply.home
        assert home is not None  # only replies that are held are forgotten
        del (home.replies if reply.key in home.replies else home.followed)[reply.key]
        if reply.hits != reply.counted:
            home.count(reply)
        reply.home = None
        reply.queue.removed(reply)
        for dependency in reply.depends:
            dependents = self._dependents[dependency]
            if isinstance(dependents, dict):
                del dependents[reply]
            else:
                dependents.remove(reply)
            if not dependents:
                del self._dependents[dependency]
                if isinstance(dependency, tuple) and len(dependency) == 2:
                    services = self._services[dependency[0]]
                    services.remove(dependency)
                    if not services:
                        del self._services[dependency[0]]


def _has_one(reply: Reply, labels: Collection[bytes]) -> bool:
    """Tell whether one of these lower-case labels is in a reply, or in a name that it depends on."""
    octets = reply.wire.lower() + b"".join(names_of(reply.depends))
    return any(label in octets for label in labels)
