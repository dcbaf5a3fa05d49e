#!/usr/bin/python3
"""storm_side.py: carries out sequences of operations with Storm, as tests/differential/ours.c does with libsilver.

Reads lines of JSON: {"open": URL, "database": "sqlite" or "postgres"}, then one operation a line, then {"end": true}, again and
again. Writes one line for each operation: {"ok": result}, {"error": class} or {"skipped": true}. After an error the
rest of the transaction (of the savepoint's group) is skipped, and all of it rolled back.

A slot is the name of an object within a transaction: that is how operations say which object they mean. A slot whose object is
not there any more gives "gone", one that never had an object gives "empty"."""

import json
import sys
import traceback

from storm.database import create_database
from storm.exceptions import Error as DatabaseFailure
from storm.exceptions import IntegrityError, NotOneError, OrderLoopError
from storm.expr import Alias, Column, Delete, Eq, Or, Select, Update, compare_columns
from storm.info import get_cls_info, get_obj_info
from storm.references import PendingReferenceValue

import world
from storm_expr import AGGREGATES, Builder, value_of
from storm_flush import OracleStore, Refused
from storm_models import CLASSES, MODEL_OF

GONE = object()
ENDS = {"begin": ("commit", "rollback"), "savepoint": ("release", "undo"), "nested": ("leave",)}
POSTGRES_CLASSES = {"23505": "unique", "23503": "foreign", "23502": "required", "23514": "check"}
SQLITE_CLASSES = {"UNIQUE": "unique", "FOREIGN": "foreign", "NOT": "required", "CHECK": "check"}
# Raw SQL of the operation "execute", by number.
STATEMENTS = ['UPDATE "company" SET "rank" = "rank" + ? WHERE "id" = ?', 'UPDATE "person" SET "age" = ? WHERE "employer" = ?',
              'DELETE FROM "membership" WHERE "member" = ?']


class Undone(Exception):
    """A savepoint's group, or a transaction, that ends with being rolled back."""


def class_of_error(error):
    if isinstance(error, Refused):
        return error.outcome
    if isinstance(error, NotOneError):
        return "many"
    if isinstance(error, OrderLoopError):
        return "loop"
    if isinstance(error, IntegrityError):
        code = getattr(error, "_pgcode", None)  # pgcode is a function by mistake
        return POSTGRES_CLASSES.get(code, "database") if code else SQLITE_CLASSES.get(str(error).split()[0], "database")
    return "database" if isinstance(error, DatabaseFailure) else None


class Side:
    def __init__(self, url, database):
        options = "?foreign_keys=ON&synchronous=OFF" if database == "sqlite" else "?isolation=read-committed"
        self.kind = database
        self.store = OracleStore(create_database(url + options), database)
        if database == "sqlite":
            self.store._connection._raw_connection.execute("PRAGMA case_sensitive_like = ON")
        self.build = Builder(self.store)
        self.slots = {}
        self.held = {}  # by id: objects that libsilver has in its transaction, too
        self.at = 0

    # ---- Groups ----------------------------------------------------------------------------------------------------

    def run(self, operations):
        self.operations, self.results = operations, [None] * len(operations)
        self.ends = matching_ends(operations)
        at = 0
        while at < len(operations):
            if operations[at]["op"] == "begin":
                at = self.transaction(at) + 1
            else:
                self.outside(at)
                at += 1
        self.store.close()
        return self.results

    def outside(self, at):
        self.at = at
        try:
            self.results[at] = {"ok": self.do(self.operations[at])}
        except Exception as error:
            self.failed(error, at)
        self.forget()
        self.slots = {}

    def transaction(self, at):
        end = self.ends[at]
        self.results[at] = {"ok": None}
        try:
            self.block(at + 1, end)
            self.at = end
            if self.operations[end]["op"] == "rollback":
                raise Undone
            self.flush()
            self.store.commit()
            self.store.reset()  # objects live as long as their transaction
            self.held = {}
            self.results[end] = {"ok": None}
        except Undone:
            self.results[end] = {"ok": None}
            self.forget()
        except Exception as error:
            self.failed(error, end)
            self.forget()
        self.slots = {}
        return end

    def forget(self):
        """Objects, too: Storm's keep a changed key that was rolled back."""
        self.store._dirty.clear()
        self.store.rollback()
        self.store.removed = False
        self.held = {}
        raw = self.store._connection._raw_connection
        if self.kind == "sqlite" and raw.in_transaction:  # Storm believes that a commit that fails ends it
            raw.execute("ROLLBACK")
        self.store.reset()

    def failed(self, error, end):
        outcome = class_of_error(error)
        if outcome is None:
            traceback.print_exc()
            outcome = f"broken: {type(error).__name__}: {error}"
        self.results[self.at] = {"error": outcome, "text": str(error)}
        for i in range(self.at + 1, end + 1):
            self.results[i] = {"skipped": True}

    def block(self, at, end):
        while at < end:
            self.at = at
            kind = self.operations[at]["op"]
            if kind == "savepoint":
                at = self.savepoint(at)
            elif kind in ("nested", "leave"):
                self.results[at] = {"ok": None}
            else:
                self.results[at] = {"ok": self.do(self.operations[at])}
                self.look_after_removal()
            at += 1

    def savepoint(self, at):
        end = self.ends[at]
        self.flush()
        name = f"s{at}"
        self.store.raw(f"SAVEPOINT {name}")
        saved = {slot: self.key_of(slot) for slot in self.slots}
        self.results[at] = {"ok": None}
        try:
            self.block(at + 1, end)
            self.at = end
            if self.operations[end]["op"] == "undo":
                raise Undone
            self.flush()
            self.store.raw(f"RELEASE SAVEPOINT {name}")
            self.results[end] = {"ok": None}
            return end
        except Undone:
            self.results[end] = {"ok": None}
        except Exception as error:
            self.failed(error, end)
        held = [key for key in (self.key_of_object(obj) for obj in self.held.values()) if key is not None]
        self.store.raw(f"ROLLBACK TO SAVEPOINT {name}")
        self.store.raw(f"RELEASE SAVEPOINT {name}")
        self.store.put_on_foreign_keys()
        # Storm knows no savepoints: its objects are forgotten, and those that slots had before are read again.
        self.store.removed = False
        self.store.reset()
        self.held = {id(obj): obj for obj in (self.store.get(*key) for key in held) if obj is not None}
        self.slots = {slot: GONE if key is None else self.store.get(*key) or GONE for slot, key in saved.items()}
        return end

    def flush(self):
        self.store.flush()
        self.look_after_removal()

    # ---- Slots -------------------------------------------------------------------------------------------------------

    def key_of(self, slot):
        return None if self.slots[slot] is GONE else self.key_of_object(self.slots[slot])

    def key_of_object(self, obj):
        """As it is stored; None: it is not."""
        info = get_obj_info(obj)
        return (info.cls_info.cls, tuple(variable.get() for variable in info["primary_vars"])) if "primary_vars" in info else None

    def hold(self, obj):
        self.held[id(obj)] = obj

    def put(self, slot, obj):
        if slot is not None and obj is not None:
            self.slots[slot] = obj

    def same(self, obj):
        """The first slot that has this object."""
        return min((slot for slot, other in self.slots.items() if other is obj), default=None)

    def look_after_removal(self):
        """Rows may have gone, or have been changed, by the database itself."""
        if not self.store.removed:
            return
        self.store.removed = False
        self.read_anew()

    def living(self):
        """All objects that Storm has and whose rows are there."""
        keys = [(info.cls_info.cls, tuple(variable.get() for variable in info["primary_vars"])) for info in self.store._iter_alive()]
        return [obj for obj in (self.store.get(*key) for key in keys) if obj is not None]

    def read_anew(self):
        self.store.invalidate()
        self.living()
        for slot, obj in self.slots.items():
            if obj is not GONE and "primary_vars" in get_obj_info(obj) and self.store.get(*self.key_of(slot)) is None:
                self.slots[slot] = GONE

    def load(self, cls, key):
        """store.get, which writes what is pending only if the object is not here."""
        values = tuple(column.variable_factory(value=value).get(to_db=True) for column, value in zip(get_cls_info(cls).primary_key, key))
        info = self.store._alive.get((cls, values))
        if info is None or info.get("invalidated") or id(info.get_obj()) not in self.held:
            self.flush()
            return self.store.get(cls, key)
        return None if info.get("pending") else self.store._get_object(info)

    # ---- Results -----------------------------------------------------------------------------------------------------

    def row(self, obj, lazy=False):
        if obj is None:
            return None
        model = MODEL_OF[type(obj)]
        values = {c.name: world.encoded(c.kind, getattr(obj, c.name)) for c in world.MODELS[model] if lazy or not c.lazy}
        return values

    def seen(self, obj):
        """An object as a result: its values, and the slot that has the same one."""
        if obj is None:
            return None
        self.hold(obj)
        return {"same": self.same(obj), **self.row(obj)}

    # ---- Operations --------------------------------------------------------------------------------------------------

    def do(self, op):
        slot = op.get("slot")
        if slot is not None:
            if slot not in self.slots:
                return "empty"
            if self.slots[slot] is GONE:
                return "gone"
        return getattr(self, "do_" + op["op"].replace("-", "_"))(op)

    def do_given_keys(self, op):
        for statement in world.given_key_statements():
            self.store.execute(statement, noresult=True)

    def set_values(self, obj, values):
        for name, value in values.items():
            column = world.COLUMNS[MODEL_OF[type(obj)]][name]
            variable = get_obj_info(obj).variables[getattr(type(obj), name)]
            if variable.get_lazy() is PendingReferenceValue:
                setattr(obj, name + "_ref", None)  # Storm would keep the link
            setattr(obj, name, value_of(column.kind, value))

    def set_links(self, obj, links):
        for name, target in links.items():
            other = self.slots.get(target)
            if other is not None and other is not GONE:
                setattr(obj, name + "_ref", other)

    def make(self, op):
        obj = CLASSES[op["model"]]()
        self.set_values(obj, op["values"])
        return obj

    def do_add(self, op):
        obj = self.make(op)
        if op.get("late"):
            self.set_links(obj, op.get("links", {}))
        self.store.add(obj)
        self.hold(obj)
        if not op.get("late"):
            self.set_links(obj, op.get("links", {}))
        self.put(op.get("as"), obj)

    def do_edit(self, op):
        self.set_values(self.slots[op["slot"]], op["values"])

    def do_link(self, op):
        obj, target = self.slots[op["slot"]], op["to"]
        if target is None:
            setattr(obj, op["column"] + "_ref", None)
            setattr(obj, op["column"], None)
            return None
        if target not in self.slots:
            return "empty"
        if self.slots[target] is GONE:
            return "gone"
        self.set_links(obj, {op["column"]: target})
        return None

    def do_compute(self, op):
        obj = self.slots[op["slot"]]
        setattr(obj, op["column"], self.build.expression(op["expr"], dict(CLASSES)))

    def do_remove(self, op):
        obj = self.slots[op["slot"]]
        self.store.remove(obj)
        for slot, other in self.slots.items():
            if other is obj:
                self.slots[slot] = GONE

    def do_flush(self, op):
        self.flush()

    def do_get(self, op):
        if op.get("locked"):
            self.flush()
        keys = [world.COLUMNS[op["model"]][name] for name in world.KEYS[op["model"]]]
        obj = self.load(CLASSES[op["model"]], tuple(value_of(c.kind, value) for c, value in zip(keys, op["key"])))
        result = self.seen(obj)
        self.put(op.get("as"), obj)
        return result

    def do_show(self, op):
        self.flush()
        obj = self.slots[op["slot"]]
        return "gone" if obj is GONE else self.row(obj, lazy=True)

    def do_peek(self, op):
        """What can be seen without asking the database: it was just set."""
        values = self.row(self.slots[op["slot"]])
        return {name: values[name] for name in op["columns"]}

    def do_reload(self, op):
        obj = self.slots[op["slot"]]
        if "primary_vars" not in get_obj_info(obj):
            self.flush()
        self.store.reload(obj)
        return self.row(obj)

    def do_follow(self, op):
        obj = self.slots[op["slot"]]
        info, name = get_obj_info(obj), op["column"]
        column = getattr(type(obj), name)
        if info.variables[column].get_lazy() is PendingReferenceValue:
            other = getattr(obj, name + "_ref")
        else:
            key = getattr(obj, name)
            target = world.COLUMNS[MODEL_OF[type(obj)]][name].refers
            other = None if key is None else self.load(CLASSES[target], (key,))
        if other is not None:
            self.hold(other)
        result = None if other is None else {"same": self.same(other)}
        self.put(op.get("as"), other)
        return result

    # ---- Questions

    def answer(self, op, results):
        objects = self.listed(op, results)
        seen = [self.row(obj) if op["how"] in ("rows", "each") else self.seen(obj) for obj in objects]
        for slot, number in op.get("slots", []):
            if number < len(objects):
                self.put(slot, objects[number])
        return seen

    def listed(self, op, results):
        """Storm forgets the slice in first and last."""
        how, sliced = op["how"], "limit" in op["find"] or "skip" in op["find"]
        if how == "one":
            obj = results.one()
            return [] if obj is None else [obj]
        if how in ("first", "last") and not sliced:
            obj = results.first() if how == "first" else results.last()
            return [] if obj is None else [obj]
        objects = list(results)
        return objects[:1] if how == "first" else objects[-1:] if how == "last" else objects

    def do_find(self, op):
        self.flush()
        results, _ = self.build.result_set(op["find"])
        seen = self.answer(op, results)
        for name in op["find"].get("preload", []):
            for obj in results:
                other = getattr(obj, name + "_ref")
                if other is not None:
                    self.hold(other)
        return seen

    def do_referring(self, op):
        results = getattr(self.slots[op["slot"]], f"{op['model']}_{op['column']}_set").find()
        return self.answer(op, self.narrowed(results, op["find"]))

    def do_linked(self, op):
        results = getattr(self.slots[op["slot"]], op["model"] + "_linked").find()
        return self.answer(op, self.narrowed(results, op["find"]))

    def narrowed(self, results, find):
        where = find.get("where", [])
        if where:
            results = results.find(self.build.all_of(where, dict(CLASSES)))
        return self.build.cut(results, find, dict(CLASSES))

    def do_select(self, op):
        self.flush()
        results, _ = self.build.result_set(op["find"], op["columns"])
        rows = list(results)
        if op["how"] == "first":
            rows = rows[:1]
        return [[self.cell(column, value, op["how"]) for column, value in zip(op["columns"], row)] for row in rows]

    def cell(self, column, value, how):
        if "whole" in column:
            return self.row(value) if how in ("rows", "each") else self.seen(value)
        return world.encoded(column["kind"], value)

    def do_count(self, op):
        results, _ = self.build.result_set(op["find"], op.get("columns"))
        summary = op["find"].get("group") or any(column.get("expr", [""])[0] == "agg" for column in op.get("columns", []))
        return len(list(results)) if summary else results.count()  # Storm counts what the groups are made of

    def do_empty(self, op):
        results, _ = self.build.result_set(op["find"], op.get("columns"))
        return not list(results) if op["find"].get("limit") == 0 else results.is_empty()

    def do_value(self, op):
        results, scope = self.build.result_set(op["find"])
        aggregate = op["expr"]
        if aggregate[1] == "count*":
            return results.count()
        x = self.build.expression(aggregate[2], scope)
        if aggregate[1] in ("count", "count distinct") and "limit" not in op["find"] and "skip" not in op["find"]:
            return results.count(x, distinct=aggregate[1] != "count")
        if "limit" in op["find"] or "skip" in op["find"]:
            return world.encoded(op["kind"], self.value_of_slice(op, results, x))
        return world.encoded(op["kind"], getattr(results, aggregate[1])(x))

    def value_of_slice(self, op, results, x):
        """Storm forgets the order, and so computes with other rows."""
        function = AGGREGATES[op["expr"][1]]
        if "combine" in op["find"]:
            keys = [get_obj_info(obj).primary_vars for obj in results]
            cls = self.build.class_of(op["find"])
            where = Or(*(compare_columns(get_cls_info(cls).primary_key, key) for key in keys)) if keys else Eq(1, 0)
            return self.store.execute(Select(function(x), where, cls)).get_one()[0]
        inner = results._get_select()
        inner.columns = [*inner.columns, Alias(x, "_x")]
        return self.store.execute(Select(function(Column("_x")), tables=Alias(inner, "_inner"))).get_one()[0]

    # ---- Many at once

    def do_many(self, op):
        self.flush()
        for values in op["rows"]:
            self.store.add(self.make({"model": op["model"], "values": values}))
        self.flush()

    def do_put(self, op):
        return self.put_unless(op, update=True)

    def do_unless(self, op):
        return self.put_unless(op, update=False)

    def put_unless(self, op, update):
        model, cls = op["model"], CLASSES[op["model"]]
        new = self.make(op)
        self.check_new(model, new)
        self.flush()
        wanted = [getattr(new, name) for name in op["unique"]]
        there = None
        if None not in wanted:
            there = self.store.find(cls, *(getattr(cls, name) == value for name, value in zip(op["unique"], wanted))).one()
        if there is None:
            self.store.add(new)
            self.flush()
            there = new
        elif update:
            for c in world.MODELS[model]:
                if c.name not in op["unique"] and not c.key:
                    setattr(there, c.name, getattr(new, c.name))
            self.flush()
        else:
            return None
        result = self.seen(there)
        self.put(op.get("as"), there)
        return result

    def check_new(self, model, new):
        for c in world.MODELS[model]:
            if c.required and not (c.key and world.has_given_key(model)) and getattr(new, c.name) is None:
                raise Refused("required")

    def do_update(self, op):
        self.flush()
        cls, find = CLASSES[op["find"]["model"]], op["find"]
        scope = dict(CLASSES)
        for name, e in op["set"].items():
            if e[0] == "v" and e[2] is None and world.COLUMNS[find["model"]][name].required:
                raise Refused("required")
        changes = {getattr(cls, name): self.build.expression(e, scope) for name, e in op["set"].items()}
        count = self.store.execute(Update(changes, self.build.all_of(find.get("where", []), scope), find["model"])).rowcount
        for obj in self.living():
            if type(obj) is cls:
                self.store.autoreload(obj)
                self.row(obj)  # so that nothing is left to be read later
        return count

    def do_delete(self, op):
        self.flush()
        where = self.build.all_of(op["find"].get("where", []), dict(CLASSES))
        count = self.store.execute(Delete(where, op["find"]["model"])).rowcount
        self.store.removed = True
        return count

    def do_execute(self, op):
        count = self.store.execute(STATEMENTS[op["statement"]], tuple(op["values"])).rowcount
        self.store.removed = True
        return count

    def do_dump(self, op):
        self.flush()
        return {model: [self.row(obj, lazy=True) for obj in self.store.find(cls).order_by(*get_cls_info(cls).primary_key)]
                for model, cls in CLASSES.items()}


def matching_ends(operations):
    """Of each operation that begins a group, where that ends."""
    ends, open_groups = {}, []
    for i, op in enumerate(operations):
        if op["op"] in ENDS:
            open_groups.append(i)
        elif open_groups and op["op"] in ENDS[operations[open_groups[-1]]["op"]]:
            ends[open_groups.pop()] = i
    return ends


def main():
    while line := sys.stdin.readline():
        start, operations = json.loads(line), []
        while "end" not in (op := json.loads(sys.stdin.readline())):
            operations.append(op)
        for result in Side(start["open"], start["database"]).run(operations):
            print(json.dumps(result))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
