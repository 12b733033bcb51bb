"""A quality scorer that users train on examples: a linear model over hashed character n-grams."""
