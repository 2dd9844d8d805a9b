"""Replies read strictly, each once: the targets meet the same ones again and again, and reading takes most of the time."""

import functools

from tests import strict

strictly = functools.lru_cache(maxsize=1 << 12)(strict.reply)
