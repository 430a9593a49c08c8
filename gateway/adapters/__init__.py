"""One module per outside thing: stores, the provider, the tokenizer, price lists."""
