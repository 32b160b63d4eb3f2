"""The fast path that play and benchmarks share: one model, several ways to compute it, the best one measured.

A backend replaces the networks in a model's slots (`TensorDreams.slots`) and nothing else, so it knows no
architecture. Owns backends, their measurement and what was measured; trains nothing and keeps no dreams.
"""
