"""A Storm store whose flush succeeds whenever what is stored after it is consistent.

libsilver writes in an order that keeps unique and foreign keys, whatever the order in which objects were changed: two
objects may exchange their values of a unique column, and a row may take the key of one that is removed in the same flush.
Storm writes in the order of the changes, and would fail. So before it writes, rows that go are deleted, and unique values
that change are given up; foreign keys are looked at when all is written. Nothing of libsilver's own order is assumed: it is
the outcome that both must agree on."""

from storm.store import Store
from storm.store import PENDING_ADD, PENDING_REMOVE

import world
from storm_models import MODEL_OF


class Refused(Exception):
    """What libsilver finds out before it writes, and Storm does not look at."""

    def __init__(self, outcome):
        super().__init__(outcome)
        self.outcome = outcome


class OracleStore(Store):
    def __init__(self, database, kind):
        super().__init__(database)
        self.kind = kind
        self.parked = 0
        self.removed = False  # something was, since this was last looked at

    def raw(self, sql, parameters=()):
        """SQL as it is, without a flush; parameters are ?."""
        return self._connection.execute(sql, parameters)

    def flush(self):
        dirty = list(self._dirty)
        if not dirty:
            return
        for info in dirty:
            self.check_required(info)
        removed = any(info.get("pending") is PENDING_REMOVE for info in dirty)
        if len(dirty) == 1 and not removed:
            super().flush()
        else:
            self.put_off_foreign_keys()
            for info in dirty:
                self.give_up(info)
            super().flush()
            self.check_foreign_keys()
            self.removed |= removed
        for info in dirty:
            if "primary_vars" in info:
                self.read_what_is_missing(info)

    def read_what_is_missing(self, info):
        """Storm reads it when it is first looked at, and writes what is pending then."""
        for variable in info.variables.values():
            variable.get()

    # ---- Before ------------------------------------------------------------------------------------------------

    def check_required(self, info):
        pending = info.get("pending")
        if pending is PENDING_REMOVE:
            return
        model = MODEL_OF[info.cls_info.cls]
        for c in info.cls_info.columns:
            variable, column = info.variables[c], world.COLUMNS[model][c.name]
            given = column.key and world.has_given_key(model)
            if not column.required or given:
                continue
            missing = not variable.is_defined() and variable.get_lazy() is None and pending is PENDING_ADD
            if missing or (variable.is_defined() and variable.get() is None):
                raise Refused("required")

    def where_of(self, info):
        keys = world.KEYS[MODEL_OF[info.cls_info.cls]]
        values = tuple(variable.get(to_db=True) for variable in info["primary_vars"])
        return " AND ".join(f'"{key}" = ?' for key in keys), values

    def give_up(self, info):
        pending = info.get("pending")
        if pending is PENDING_ADD:
            return
        model = MODEL_OF[info.cls_info.cls]
        where, key = self.where_of(info)
        if pending is PENDING_REMOVE:
            self.raw(f'DELETE FROM "{model}" WHERE {where}', key)
            return
        by_name = {c.name: info.variables[c] for c in info.cls_info.columns}
        for names in world.uniques(model):
            changed = [name for name in names if by_name[name].is_defined() and by_name[name].has_changed()]  # these are written afterwards
            if not changed:
                continue
            name = min(changed, key=lambda name: world.COLUMNS[model][name].required)
            column = world.COLUMNS[model][name]
            self.parked += 1
            value = None if not column.required else -10**6 - self.parked if column.kind == "integer" else f"parked {self.parked}"
            self.raw(f'UPDATE "{model}" SET "{name}" = ? WHERE {where}', (value, *key))

    # ---- Foreign keys ------------------------------------------------------------------------------------------

    def put_off_foreign_keys(self):
        self.raw("PRAGMA defer_foreign_keys = ON" if self.kind == "sqlite" else "SET CONSTRAINTS ALL DEFERRED")

    def put_on_foreign_keys(self):
        self.raw("PRAGMA defer_foreign_keys = OFF" if self.kind == "sqlite" else "SET CONSTRAINTS ALL IMMEDIATE")

    def check_foreign_keys(self):
        if self.kind == "sqlite" and self.raw("PRAGMA foreign_key_check").get_all():
            raise Refused("foreign")
        self.put_on_foreign_keys()
