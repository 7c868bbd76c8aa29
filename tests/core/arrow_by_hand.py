"""Arrow C structs by ctypes: exports a pyarrow batch, lets a test spoil it, offers it as a producer would."""

import ctypes as ct

import pyarrow as pa


class ArrowSchema(ct.Structure):
    pass


class ArrowArray(ct.Structure):
    pass


ArrowSchema._fields_ = [
    ("format", ct.c_char_p),
    ("name", ct.c_char_p),
    ("metadata", ct.c_void_p),
    ("flags", ct.c_int64),
    ("n_children", ct.c_int64),
    ("children", ct.POINTER(ct.POINTER(ArrowSchema))),
    ("dictionary", ct.POINTER(ArrowSchema)),
    ("release", ct.c_void_p),
    ("private_data", ct.c_void_p),
]
ArrowArray._fields_ = [
    ("length", ct.c_int64),
    ("null_count", ct.c_int64),
    ("offset", ct.c_int64),
    ("n_buffers", ct.c_int64),
    ("n_children", ct.c_int64),
    ("buffers", ct.POINTER(ct.c_void_p)),
    ("children", ct.POINTER(ct.POINTER(ArrowArray))),
    ("dictionary", ct.POINTER(ArrowArray)),
    ("release", ct.c_void_p),
    ("private_data", ct.c_void_p),
]

new_capsule = ct.pythonapi.PyCapsule_New
new_capsule.restype = ct.py_object
new_capsule.argtypes = [ct.c_void_p, ct.c_char_p, ct.c_void_p]


class ByHand:
    """A producer of one record batch whose C structs (`schema`, `array`) may be changed before it goes."""

    schema_name = b"arrow_schema"
    array_name = b"arrow_array"

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.schema = ArrowSchema()
        self.array = ArrowArray()
        batch._export_to_c(ct.addressof(self.array), ct.addressof(self.schema))
        # What pyarrow's own release needs, should a test change it.
        self.kept = []

    def column(self, i: int = 0) -> ArrowArray:
        return self.array.children[i].contents

    def values(self, ctype: type, i: int = 0, buffer: int = 1, array: ArrowArray | None = None):
        """A writable copy of a buffer of column `i`, put in the place of the producer's read-only one."""
        column = array if array is not None else self.column(i)
        n = column.length + column.offset + 1
        copy = (ctype * n)()
        size = ct.sizeof(ctype) * (n if buffer == 1 and column.n_buffers >= 3 else n - 1)
        ct.memmove(copy, column.buffers[buffer], size)
        column.buffers[buffer] = ct.addressof(copy)
        self.kept.append(copy)
        return copy

    def __arrow_c_array__(self, requested_schema=None):
        return (
            new_capsule(ct.addressof(self.schema), self.schema_name, None),
            new_capsule(ct.addressof(self.array), self.array_name, None),
        )

    def let_go(self) -> None:
        """Releases what nobody took."""
        for struct in (self.array, self.schema):
            if struct.release:
                ct.CFUNCTYPE(None, ct.c_void_p)(struct.release)(ct.addressof(struct))
