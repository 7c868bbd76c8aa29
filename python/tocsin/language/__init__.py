"""Language: the words of tocsin as immutable trees: expressions, row patterns, durations, and their texts."""
