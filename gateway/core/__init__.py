"""Pure domain code: no web framework, store, provider SDK or tokenizer is imported here."""
