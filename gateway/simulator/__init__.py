"""A stand-in for the provider: a separate HTTP server that speaks its wire format.

It contains no model. Its answers are made of words picked by a hash of the request, but its
tokens, usage, limits, errors, prompt cache and streaming follow the provider's published rules,
and it keeps a *truth log* of what it charged, written durably before it answers. The demo, the
tests and the benchmarks talk to it over real HTTP.

It never imports the estimating or pricing code that it is used to check.
"""
