"""What the operator asked for: the schema, and the readers that fill it."""
