"""Fuzzers of everything that reads what others wrote: clients, the provider, the event stream."""
