"""The recommender in service: HTTP app, page, operations, and the state that it keeps."""
