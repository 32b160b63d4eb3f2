"""The optimisation ladder: what each step from the published model to a playable one costs and gains.

Speed, memory and size are those of the published sizes with random weights; quality is that of the trained
models of a store, played as the rung says.
"""
