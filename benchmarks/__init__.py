"""Benchmarks: what the platform costs, as ratios to the naive way and to the least there is. `make bench` runs them."""
