AGGREGATES: dict[str, int]
