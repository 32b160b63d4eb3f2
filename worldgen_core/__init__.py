"""Games, agents, models, training, evaluation and the fast path: everything that makes a dream.

Works on plain folders and knows nothing of Prefect, stages or the artifact store.
"""
