"""The experts' page: one item at a time, rendered on the server, with all its assets beside it."""
