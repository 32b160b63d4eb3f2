"""The label formats: one small module each, found by content or chosen by name.

A format turns the lines of a text file into `Labels`; `worldgen_core.video.formats.read.read_labels` is the
one way in. What a line means is written at the top of each module.
"""
