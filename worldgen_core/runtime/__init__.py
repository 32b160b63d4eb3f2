"""Runtime: the fast path that play and benchmarks share."""
