"""What each operation takes and answers, as OpenAPI 3.1 says it: one module per family."""
