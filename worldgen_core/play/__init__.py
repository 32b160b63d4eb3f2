"""Play a dream: headless session, gymnasium environment, web server and its one static page.

The session steps a `WorldModel` and, where there is one, the true game; it knows no architecture and no
network. The server knows sessions and messages, and no tensors.
"""
