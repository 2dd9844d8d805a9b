"""The soak: a server under all troubles at once, for an hour; `__main__` says what it holds.

`truth` knows what is right, `asking` puts the questions, `outside` is the upstream, `troubles` are the troubles, and
`weighing` looks at the memory.
"""
