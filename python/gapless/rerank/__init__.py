"""Score the best of a search anew, by a scorer that looks at query and item together."""
