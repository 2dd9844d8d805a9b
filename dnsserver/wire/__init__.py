"""Octets to values and back: names, records, questions, whole messages (RFC 1035, 3597, 6891, 8914).

Promises: pure functions of their arguments, no I/O, no clock, no log. Any octets give a value or `FormatError`, in time
linear in their length. Must not know where a message comes from, what a cluster is, or what is cached.
"""
