"""Names to answers: the in-memory cluster zone, kept true by events, and the fixed names beside it.

Promises: an answer is computed from the index when it is asked, says why it is what it is and which keys it depends on;
`apply` costs the work of one object and returns the keys it changed. Must not know EDNS, sockets, clients, caches, the
API's transport or the time: `now` comes in as an argument.
"""
