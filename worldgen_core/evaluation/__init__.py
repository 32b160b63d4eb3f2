"""Evaluation: panels that compare a dream with the game it was learned from.

`evaluate` measures and reports (start reading at `measure`), `benchmark` times, `promotion` decides on the
champion, `sample` shows. No figure mixes panels; every figure that rests on the state reader has the
reader's own beside it.
"""
