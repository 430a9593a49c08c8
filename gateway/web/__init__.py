"""HTTP: one module per endpoint family, thin over the paid path."""
