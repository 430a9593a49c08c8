"""A model of the Redis scripts, and random lives of requests that hold them against it."""
