// What an event, given as a dict, has under a name.
//
// Without the GIL another thread may put a new value into the dict while this one reads the old one: a borrowed reference is
// one to freed memory then. (Cython's own `dict.get` borrows for a moment, so it will not do.) With the GIL nobody gets at the
// dict before the value is read, if no code of anybody's runs in between.
#pragma once

#include <Python.h>

namespace tocsin {

// A reference to the value: 1; or 0: there is none; or -1: an exception says why it cannot be told.
inline int find_value(PyObject *event, PyObject *name, PyObject **value) noexcept {
#ifdef Py_GIL_DISABLED
    return PyDict_GetItemRef(event, name, value);
#else
    *value = PyDict_GetItemWithError(event, name);
    if (*value == nullptr)
        return PyErr_Occurred() ? -1 : 0;
    Py_INCREF(*value);
    return 1;
#endif
}

// For whoever runs nobody's code until let_value_go. With the GIL a borrowed reference, which costs nothing. NULL: there is none,
// or it cannot be told.
inline PyObject *value_of(PyObject *event, PyObject *name) noexcept {
#ifdef Py_GIL_DISABLED
    PyObject *value = nullptr;
    if (PyDict_GetItemRef(event, name, &value) < 0)
        PyErr_Clear();
    return value;
#else
    return PyDict_GetItem(event, name);
#endif
}

inline void let_value_go(PyObject *value) noexcept {
#ifdef Py_GIL_DISABLED
    Py_DECREF(value);
#else
    (void)value;
#endif
}

} // namespace tocsin
