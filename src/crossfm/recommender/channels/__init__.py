"""Simple ways to find items for a user without a factorization machine, to be judged by and to add candidates."""
