"""The OpenAI-shaped surface under ``/v1``."""
