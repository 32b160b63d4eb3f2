"""Tracking: camera, player's sprite and player's motion in footage of a game, learnt from the footage itself.

Nothing here knows a game: what may be assumed is a `TrackingSettings` record with neutral defaults. The same
reader judges recorded frames and frames that a model dreamt. Plain NumPy and OpenCV.
"""
