"""The loop around the roles: workers, rounds, prefetching, guards, delayed labels."""
