"""Videos of gameplay and their action files: probing, decoding, scenes, crop boxes, labels, alignment.

Timing is PyAV's (integer ticks with their rational time base), image work OpenCV's. libav runs in child
processes with limits, never in the process that asks: start reading at `probing` and `decoding`.
"""
