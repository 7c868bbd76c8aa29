"""SQL: the text of a MATCH_RECOGNIZE clause or a condition -> the trees of tocsin.language."""
