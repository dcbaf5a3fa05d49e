/* gil.h: letting go of CPython's lock, in files that otherwise do not know Python. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define GIL_RELEASE() PyThreadState *gil__state = PyEval_SaveThread()
#define GIL_TAKE() PyEval_RestoreThread(gil__state)
