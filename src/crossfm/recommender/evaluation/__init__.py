"""Judging a recommender by what its users did later."""
