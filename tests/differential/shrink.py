"""Makes a sequence that fails smaller, as long as it still fails: fewer operations, then simpler ones, then fewer first rows."""

import copy
import time

from storm_side import ENDS, matching_ends


def without(sequence, unwanted):
    return {**sequence, "ops": [op for i, op in enumerate(sequence["ops"]) if i not in unwanted]}


def spans(sequence, size):
    """Sets of operations that can be left out together: `size` neighbours, each with the whole of a group that it begins or ends."""
    operations, ends = sequence["ops"], matching_ends(sequence["ops"])
    begins = {end: begin for begin, end in ends.items()}
    for start in range(0, len(operations), size):
        unwanted = set()
        for i in range(start, min(start + size, len(operations))):
            if i in ends:
                unwanted |= set(range(i, ends[i] + 1))
            elif i not in begins:
                unwanted.add(i)
        if unwanted:
            yield unwanted


def unwrapped(sequence):
    for begin, end in matching_ends(sequence["ops"]).items():
        if sequence["ops"][begin]["op"] != "begin":
            yield {begin, end}


def fewer(values):
    """An order with one of its first expressions left out: the last ones make it certain."""
    for i in range(len(values) - 1):
        yield values[:i] + values[i + 1:]


def smaller(value):
    """Variants of one part of an operation, each simpler in one place."""
    if isinstance(value, list):
        if value and value[0] in ("and", "or", "not"):
            yield from value[1:]
        if value and value[0] in ("op", "f") and len(value) > 2:
            yield from (x for x in value[2:] if isinstance(x, list) and x[0] != "v")
        for i, item in enumerate(value):
            if isinstance(item, list) and not (value and value[0] in ("c", "v", "op", "f", "agg", "cmp", "like", "between")):
                yield value[:i] + value[i + 1:]
            for other in smaller(item):
                yield value[:i] + [other] + value[i + 1:]
    elif isinstance(value, dict):
        for key in value:
            if key in ("limit", "skip", "distinct", "having", "preload", "late", "locked"):
                yield {k: v for k, v in value.items() if k != key}
            if key != "group":
                for other in fewer(value[key]) if key == "order" else smaller(value[key]):
                    yield {**value, key: other}
            if key in ("values", "links", "set") and isinstance(value[key], dict) and len(value[key]) > (key == "set"):
                for name in value[key]:
                    yield {**value, key: {k: v for k, v in value[key].items() if k != name}}


def shrunk(sequence, fails, seconds):
    """`fails(sequence)` says whether one still fails the same way."""
    deadline = time.monotonic() + seconds

    def attempt(candidate):
        nonlocal sequence
        if time.monotonic() < deadline and fails(candidate):
            sequence = candidate
            return True
        return False

    def leave_out():
        size = max(1, len(sequence["ops"]) // 2)
        while size:
            if not any(attempt(without(sequence, unwanted)) for unwanted in spans(sequence, size)):
                size //= 2
        while any(attempt(without(sequence, unwanted)) for unwanted in unwrapped(sequence)):
            pass

    def simplify():
        at = 0
        while at < len(sequence["ops"]):
            op = sequence["ops"][at]
            if op["op"] in ENDS or not any(
                    attempt({**sequence, "ops": sequence["ops"][:at] + [other] + sequence["ops"][at + 1:]}) for other in smaller(op)):
                at += 1

    def fewer_rows():
        for model in reversed(list(sequence["initial"])):
            number = len(sequence["initial"][model]) - 1
            while number >= 0:
                candidate = copy.deepcopy(sequence)
                del candidate["initial"][model][number]
                attempt(candidate)
                number -= 1

    leave_out()
    simplify()
    fewer_rows()
    leave_out()
    return sequence
