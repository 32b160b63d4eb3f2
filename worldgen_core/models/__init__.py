"""Models: one module a model, behind the `WorldModel` interface."""
