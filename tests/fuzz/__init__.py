"""Targets for a fuzzer: each takes octets, and asserts what has to be true for all octets.

`make fuzz` runs them under atheris, `python -m tests.fuzz TARGET` one of them; `tests/fuzz/test_fuzz.py` gives each a
short time in every run of the tests. A finding is a file of octets: put it into `tests/fuzz/corpus/TARGET`, and every
run of the tests tries it from then on.
"""
