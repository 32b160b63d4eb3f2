"""A core small enough to rebuild in milliseconds: the toy recipe's stages call it."""
