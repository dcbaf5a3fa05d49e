# cython: language_level=3
"""scanning: the C library scanner for Python. Its table of callbacks is served by the methods of a class."""

cdef extern from "scanner.h":
    # Each callback takes the GIL when it begins, and never lets an exception out into C: see call_back.
    cdef struct scanner_callbacks:
        int (*on_word)(void *data, const char *word, size_t size, unsigned line) noexcept
        int (*on_number)(void *data, double number, unsigned line) noexcept
        int (*on_line)(void *data, unsigned line) noexcept
    int scan(const char *text, size_t size, const scanner_callbacks *callbacks, void *data) nogil


class Stop(Exception):
    """Raised by a method: the scan ends, and that is no error."""


cdef class Scanner:
    """Derive from it, and define what you want to hear of: on_word, on_number, on_line."""

    cdef scanner_callbacks table
    cdef object error

    def __cinit__(self, *arguments, **options):
        # Only what a class defines is asked for: what is NULL costs nothing.
        if hasattr(self, "on_word"):
            self.table.on_word = on_word
        if hasattr(self, "on_number"):
            self.table.on_number = on_number
        if hasattr(self, "on_line"):
            self.table.on_line = on_line

    def scan(self, text not None):
        """Scans a string or bytes. False if a method stopped it; an exception of a method is raised here."""
        cdef bytes data = text.encode() if isinstance(text, str) else bytes(text)
        cdef const char *start = data
        cdef size_t size = len(data)
        cdef const scanner_callbacks *table = &self.table
        cdef void *me = <void *>self
        cdef int result
        self.error = None
        with nogil:  # other threads run while C has nothing to say to Python
            result = scan(start, size, table, me)
        error, self.error = self.error, None
        if error is not None and not isinstance(error, Stop):
            raise error
        return result == 0


cdef int call_back(void *data, str name, tuple arguments) noexcept:
    """Calls the method. An exception cannot pass through the C library: it is kept, and the scan ended."""
    cdef Scanner scanner = <Scanner>data
    try:
        getattr(scanner, name)(*arguments)
        return 0
    except BaseException as error:
        scanner.error = error
        return -1


cdef int on_word(void *data, const char *word, size_t size, unsigned line) noexcept with gil:
    return call_back(data, "on_word", (word[:size].decode("utf-8", "replace"), line))


cdef int on_number(void *data, double number, unsigned line) noexcept with gil:
    return call_back(data, "on_number", (number, line))


cdef int on_line(void *data, unsigned line) noexcept with gil:
    return call_back(data, "on_line", (line,))
