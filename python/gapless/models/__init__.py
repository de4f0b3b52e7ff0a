"""Models: cards of what is known of each, and which to take."""
