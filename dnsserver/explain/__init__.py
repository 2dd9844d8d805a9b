"""Why a name resolves for a client, or does not: what its resolver asks, what each is answered, what to do.

Promises: values in, values out. What is asked is what the resolvers of glibc, musl and Go ask, as tests see them do.
Must not know sockets, clocks, files or the API: `app.explainer` asks the questions, and reads what is to be read.
"""
