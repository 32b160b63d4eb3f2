"""Video: a folder of gameplay videos and action files becomes aligned, sliced episodes.

Owns probing, decoding, label formats, alignment and the data doctor. Pixels are decoded in child processes;
time is integer ticks with a rational time base, and seconds appear in messages only.
"""
