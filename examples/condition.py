"""The smallest trigger: a condition over two columns, evaluated for a whole batch at once."""

import numpy as np
import pyarrow as pa

import tocsin as tc

SCHEMA = pa.schema({"sensor": pa.int64(), "celsius": pa.float64(), "load": pa.float64()})
readings = {
    "sensor": np.array([1, 2, 1, 3, 2, 1]),
    "celsius": np.array([21.5, 88.0, 93.5, 20.0, 97.0, 22.0]),
    "load": np.array([0.2, 0.4, 0.9, 0.1, 0.95, 0.3]),
}

with tc.Engine() as engine:
    stream = engine.stream("readings", SCHEMA)
    overheated = engine.trigger("overheated", stream, (tc.col("celsius") > 90) & (tc.col("load") > 0.8))

    @overheated.handler
    def report(matches):
        for row in matches.to_pylist():
            print(f"sensor {row['sensor']}: {row['celsius']} °C at load {row['load']}")

    stream.push(readings)
    engine.flush()
