"""Names that only the processes of this server can make, and that each of them recognizes.

Two labels hold 128 random bits and their keyed hash under a secret of this start, which the first process gives to the
others. So whoever sends such a name has seen it: nobody can guess it, and no process needs to know those of the
others. There are two labels because some resolvers do not forward names of one label.
"""

import base64
import binascii
import hashlib
import hmac

from dnsserver.forward.entropy import Entropy

SECRET_SIZE = 32

_RANDOM = 16
_HASH = 16
_HALF = 26  # the 32 octets in base 32 are 52 letters
_SIZE = 2 * (1 + _HALF)
_PADDING = b"===="


class Nonces:
    """Makes such labels, and tells them from others."""

    def __init__(self, secret: bytes, entropy: Entropy) -> None:
        """`secret` is the same in all processes of one server."""
        self._secret = secret
        self._entropy = entropy

    def make(self) -> bytes:
        """Return two new labels, to put in front of a name."""
        random = self._entropy.take(_RANDOM)
        text = base64.b32hexencode(random + self._hash(random)).rstrip(b"=").lower()
        length = bytes((_HALF,))
        return length + text[:_HALF] + length + text[_HALF:]

    def ours(self, name: bytes) -> bool:
        """Tell whether a lower-case name begins with labels that were made with this secret."""
        if len(name) <= _SIZE or name[0] != _HALF or name[1 + _HALF] != _HALF:
            return False
        text = name[1 : 1 + _HALF] + name[2 + _HALF : _SIZE]
        try:
            octets = base64.b32hexdecode(text.upper() + _PADDING)
        except binascii.Error:
            return False
        return hmac.compare_digest(self._hash(octets[:_RANDOM]), octets[_RANDOM:])

    def _hash(self, random: bytes) -> bytes:
        return hashlib.blake2b(random, key=self._secret, digest_size=_HASH).digest()
