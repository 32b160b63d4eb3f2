"""Games: actions, keymap, environment factory, state reader and what a model may assume; one file a game."""
