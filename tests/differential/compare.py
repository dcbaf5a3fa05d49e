"""Whether two sides gave the same.

An error may be found at another operation: what is written late fails late. It must be of the same class, and in the
same transaction or savepoint's group, which both then roll back; what one side answered meanwhile is not compared."""

from storm_side import matching_ends

# Which of two broken constraints a database finds first depends on the order of writing.
CONSTRAINTS = {"unique", "foreign", "check"}


def same_value(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_value(a[key], b[key]) for key in a)
    return a == b


def differing(a, b, path=""):
    """[(where, a's, b's)]: for showing."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [found for key in a for found in differing(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [found for i in range(len(a)) for found in differing(a[i], b[i], f"{path}[{i}]")]
    return [] if same_value(a, b) else [(path, a, b)]


def finite(value):
    """sl_rows and sl_to_json have null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if value in ("inf", "-inf", "nan") else value


def in_any_order(rows):
    return sorted(rows, key=lambda row: repr(sorted(row.items(), key=lambda item: item[0])))


def same_result(op, a, b):
    if "ok" not in a or "ok" not in b:
        return a.keys() == b.keys() and "error" not in a
    a, b = a["ok"], b["ok"]
    if op.get("how") in ("rows", "each"):
        a, b = finite(a), finite(b)
    if op.get("unordered") and isinstance(a, list) and isinstance(b, list):
        a, b = in_any_order(a), in_any_order(b)
    return same_value(a, b)


def same_error(a, b):
    a, b = a["error"], b["error"]
    return a == b or {a, b} <= CONSTRAINTS


def group_of(ends, at):
    """Where the innermost group around an operation begins and ends: an operation that ends a group belongs to it, one that begins
    one to the group outside. None: it is in no group."""
    inner = [(begin, end) for begin, end in ends.items() if begin < at <= end]
    return max(inner, default=None)


def difference(operations, theirs, ours):
    """(number of the operation, what differs), or None."""
    ends = matching_ends(operations)
    # Inner transactions end with the outer: no group of their own.
    ends = {begin: end for begin, end in ends.items() if operations[begin]["op"] != "nested"}
    at = 0
    while at < len(operations):
        a, b = theirs[at], ours[at]
        if "error" not in a and "error" not in b:
            if not same_result(operations[at], a, b):
                return at, "the results differ"
            at += 1
            continue
        group = group_of(ends, at) or (at, at)
        span = [i for i in range(at, group[1] + 1) if (group_of(ends, i) or (i, i)) == group]
        failed = [next((i for i in span if "error" in side[i]), None) for side in (theirs, ours)]
        if None in failed:
            return at, "only one of them fails"
        if not same_error(theirs[failed[0]], ours[failed[1]]):
            return at, "they fail for other reasons"
        at = group[1] + 1
    return None
