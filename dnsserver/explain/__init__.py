"""Why a name resolves for a client, or does not: what its resolver asks, the answer to each question, what to do.

Promises: values in, values out. The questions are those of the resolvers of glibc, musl and Go, as tests observe them.
Must not know sockets, clocks, files or the API: `app.explainer` asks the questions, and does all the reading.
"""
