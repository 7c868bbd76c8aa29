"""One rival and one work per file, run in a process of its own by `benchmarks.rival_host`.

The names of such a file:

    NAME      what the report calls it
    REQUIRES  the packages it imports (import names)
    DATA      the generator in `benchmarks.data` that makes its input
    setup(data) -> state      untimed
    run(state) -> answer      timed; anything `pyarrow.table` takes, or a `benchmarks.race.Timed`
"""
