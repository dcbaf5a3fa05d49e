"""Random expressions, conditions and selections, as lists that JSON can carry.

    expressions   ["c", table, column]  ["v", kind, value]  ["op", "+", a, b]  ["f", "lower", a]  ["agg", "sum", a]
                  ["sub", selection, expression]
    conditions    ["cmp", "<", a, b]  ["and", …]  ["or", …]  ["not", c]  ["in", a, [b, …]]  ["in_array", a, [b, …]]
                  ["between", a, low, high]  ["null", a]  ["true", a]  ["like", kind, a, pattern]  ["in_found", a, selection, b]
                  ["exists", selection]
    selections    {"model", "as", "joins": [{"kind", "model", "as", "on"}], "where": [conditions], "order": [[expression, way]],
                  "limit", "skip", "distinct", "group": [expressions], "having": condition}
                  {"combine": "union", "left", "right", "order", "limit", "skip"}

A scope is a list of tables: (name, model). Orders end with the keys of all tables, so that there is one right answer."""

import world

TEXTS = ["", "a", "Ann", "ann", "Bob", "bob", "Zoë", "日本", "😀 smile", "100%", "a_b", "back\\slash", "quo'te", 'dou"ble', "st*r", "[set]",
         "quest?", "new\nline", "  pad ", "ÅNGSTRÖM", "e\u0301", "x" * 300, "NULL", "0", "?1 $1 %s"]
PATTERNS = ["%", "a%", "%n%", "_nn", "A_n", "%\\%%", "100\\%", "a\\_b", "%*%", "[%]", "", "%ë", "%\n%", "_", "__", "%\\\\%", "%'%", "?%", "日%"]
PARTS = ["", "a", "An", "n", "%", "_", "\\", "*", "[", "?", "日", "é", "b", "😀", "\U0010ffff"]
INTEGERS = [-3, -1, 0, 1, 2, 3, 5, 7, 10, 20, 30, 31, 42, 60]
NUMBERS = [0, 1, -1, 2**31 - 1, 2**31, -2**31 - 1, 2**53, 2**53 + 1, -2**53 - 1, 2**63 - 1, -2**63, 10**18]
# None of them so large that a sum depends on the order, or so small that a half is none, which PostgreSQL refuses.
REALS = [0.0, 1.0, -1.5, 0.1, 0.30000000000000004, 1.75, 180.0, 1e-7, 1234.875, -0.5, 1e-300]
EXTREME_REALS = [1.7976931348623157e308, -1.7976931348623157e308, 1e300, 2.0**53 + 2]
DATES = ["0001-01-01", "1970-01-01", "1999-12-31", "2000-02-29", "2024-02-29", "2026-11-29", "9999-12-31"]
BYTES = ["", "00", "ff", "00ff00", "616263", "ff" * 40, "270a5c"]
CODES = ["alpha", "Beta", "gamma", "δέλτα", "a%b", "x_y", "", "back\\", "O'Hara"]
KINDS = ["integer", "integer", "text", "text", "real", "boolean", "date", "enum", "bytes"]
ORDERED = ["integer", "real", "text", "date", "enum", "boolean", "bytes"]
# How tables are joined: from, to, the condition's columns.
JOINS = [("person", "company", "employer", "id"), ("company", "person", "id", "employer"), ("person", "membership", "id", "member"),
         ("membership", "person", "member", "id"), ("membership", "club", "club", "code"), ("club", "membership", "code", "club"),
         ("person", "person", "boss", "id"), ("person", "person", "id", "boss"), ("company", "company", "parent", "id")]


class Expressions:
    def __init__(self, rng, database):
        self.rng, self.database = rng, database
        self.names = 0

    def chance(self, percent):
        return self.rng.random() * 100 < percent

    # ---- Values ------------------------------------------------------------------------------------------------------

    def value(self, kind, column=None):
        """A value of a kind; of a certain column, one that it may well have."""
        rng = self.rng
        if column == "number":
            return rng.choice(NUMBERS)
        if column in ("id", "employer", "boss", "parent", "member"):
            return rng.randrange(1, 13)
        if column in ("code", "club"):
            return rng.choice(CODES)
        if kind == "boolean":
            return rng.random() < 0.5
        pools = {"integer": INTEGERS, "real": REALS, "text": TEXTS, "bytes": BYTES, "date": DATES, "enum": world.COLOURS}
        return rng.choice(pools[kind])

    def columns(self, scope, kind, small=False, lazy=True):
        """Columns of a kind; `small`: only numbers that can be computed with."""
        found = [(name, c) for name, model in scope for c in world.MODELS[model]
                 if c.kind == kind and (lazy or not c.lazy) and not (small and c.name == "number")]
        return found

    def column(self, scope, kind, small=False, lazy=True):
        found = self.columns(scope, kind, small, lazy)
        if not found:
            return None
        name, c = self.rng.choice(found)
        return ["c", name, c.name]

    # ---- Expressions -------------------------------------------------------------------------------------------------

    def literal(self, kind, column=None):
        if kind == "real" and self.chance(8):
            return ["v", kind, self.rng.choice(EXTREME_REALS)]
        known = self.known_values(column) if column and self.chance(60) else []
        return ["v", kind, self.rng.choice(known) if known else self.value(kind, column)]

    def known_values(self, column):
        """That a column of this name has in some row."""
        return []

    def plain(self, scope, kind, depth=2, small=False, lazy=True):
        """An expression with a column in it, or None where no table has one of the kind."""
        column = self.column(scope, kind, small, lazy)
        if kind == "integer" and self.chance(15):
            text = self.plain(scope, "text", depth - 1, lazy=lazy)
            if text:
                return ["f", "length", text]
        if column is None or depth <= 0 or self.chance(60):
            return column
        if kind in ("integer", "real"):
            return self.computed(scope, kind, depth, lazy)
        if kind == "text":
            return self.computed_text(scope, column, depth, lazy)
        if kind in ("date", "enum", "boolean"):
            return ["f", "coalesce", column, self.literal(kind)]
        return column

    def computed(self, scope, kind, depth, lazy):
        a = self.plain(scope, kind, depth - 1, small=True, lazy=lazy)
        if a is None:
            return None
        way = self.rng.choice(["+", "-", "*", "/", "%", "abs", "coalesce", "op"])
        if way == "abs":
            return ["f", "abs", a]
        small = self.rng.choice([1, 2, 3, -2, 7]) if kind == "integer" else self.rng.choice([0.5, 2.0, -1.25, 3.0])
        if way == "coalesce":
            return ["f", "coalesce", a, ["v", kind, small]]
        if way == "op":
            b = self.plain(scope, kind, depth - 1, small=True, lazy=lazy)
            return ["op", self.rng.choice("+-"), a, b]
        if way == "%" and kind == "real":
            way = "+"
        return ["op", way, a, ["v", kind, small]]

    def computed_text(self, scope, column, depth, lazy):
        way = self.rng.choice(["lower", "upper", "coalesce", "||"])
        a = self.plain(scope, "text", depth - 1, lazy=lazy) or column
        if way == "||":
            b = self.plain(scope, "text", depth - 1, lazy=lazy) if self.chance(40) else None
            return ["op", "||", a, b or self.literal("text")]
        return ["f", way, a, self.literal("text")] if way == "coalesce" else ["f", way, a]

    def operand(self, scope, kind, like):
        """The other side of a comparison."""
        column = like[2] if like[0] == "c" else None
        if self.chance(5):
            return ["v", kind, None]
        if self.chance(20):
            other = self.plain(scope, kind, 1, small=column != "number" and kind == "integer")
            if other:
                return other
        return self.literal(kind, column)

    # ---- Conditions --------------------------------------------------------------------------------------------------

    def condition(self, scope, depth=2, lazy=True, subselects=True):
        if depth > 0 and self.chance(30):
            way = self.rng.choice(["and", "or", "not", "or"])
            if way == "not":
                return ["not", self.condition(scope, depth - 1, lazy, subselects)]
            count = self.rng.choice([2, 2, 3, 1, 0]) if self.chance(15) else 2
            return [way, *(self.condition(scope, depth - 1, lazy, subselects) for _ in range(count))]
        if subselects and self.chance(9):
            found = self.subselect_condition(scope)
            if found:
                return found
        return self.simple(scope, lazy)

    def simple(self, scope, lazy):
        kind = self.rng.choice(KINDS)
        x = self.plain(scope, kind, 2, lazy=lazy)
        if x is None:
            return self.simple(scope, lazy)
        if kind == "text" and self.chance(35):
            return self.like(x)
        if kind == "boolean" and self.chance(40):
            return ["true", x]
        column = x[2] if x[0] == "c" else None
        way = self.rng.choice(["cmp"] * 6 + ["null", "in", "in", "between", "in_array"])
        if way == "null":
            return ["null", x]
        if way == "in":
            return ["in", x, [self.literal(kind, column) for _ in range(self.rng.choice([1, 2, 3, 5, 9]))]]
        if way == "in_array" and kind in ("integer", "text"):
            return ["in_array", x, [self.literal(kind, column) for _ in range(self.rng.choice([0, 1, 2, 4, 20]))]]
        if way == "between" and kind not in ("boolean", "bytes"):
            return ["between", x, self.literal(kind, column), self.literal(kind, column)]
        operator = self.rng.choice(["=", "=", "<>", "<", "<=", ">", ">="])
        return ["cmp", operator, x, self.operand(scope, kind, x)]

    def like(self, x):
        kind = self.rng.choice(["like", "ilike", "prefix", "suffix", "contains"])
        if self.chance(3):
            return ["like", kind, x, None]
        return ["like", kind, x, self.rng.choice(PATTERNS if kind in ("like", "ilike") else PARTS)]

    def subselect_condition(self, scope):
        """Conditions with a selection in them; some look at the rows outside."""
        way = self.rng.choice(["in_found", "exists", "compared"])
        model = self.rng.choice(list(world.MODELS))
        self.names += 1
        name = f"inner{self.names}"
        inner = [(name, model)]
        find = {"model": model, "as": name, "joins": [], "where": [self.condition(inner, 1, subselects=False)]}
        outer_name, outer_model = self.rng.choice(scope)
        links = [(a, b) for start, end, a, b in JOINS if start == outer_model and end == model]
        if links and self.chance(60):
            a, b = self.rng.choice(links)
            find["where"].append(["cmp", "=", ["c", name, b], ["c", outer_name, a]])
        if way == "exists":
            return ["exists", find]
        kind = self.rng.choice(["integer", "integer", "text", "date", "enum"])
        x, y = self.column(scope, kind), self.column(inner, kind)
        if x is None or y is None:
            return None
        if way == "compared":
            return ["cmp", self.rng.choice(["=", "<", ">=", "<>"]), x, ["sub", find, ["agg", self.rng.choice(["min", "max"]), y]]]
        if self.chance(30):
            find["order"] = [[["c", name, key], "asc"] for key in world.KEYS[model]]
            find["limit"] = self.rng.randrange(1, 4)
        return ["in_found", x, find, y]

    # ---- Selections --------------------------------------------------------------------------------------------------

    def joined(self, model):
        """Up to two joins, and the scope with them."""
        scope, joins = [(model, model)], []
        for _ in range(self.rng.choice([0, 0, 0, 1, 1, 2])):
            name, last = self.rng.choice(scope)
            links = [link for link in JOINS if link[0] == last]
            if not links:
                continue
            _, other, a, b = self.rng.choice(links)
            alias = None
            if any(there == other for there, _ in scope) or self.chance(25):
                self.names += 1
                alias = f"t{self.names}"
            scope.append((alias or other, other))
            on = ["cmp", "=", ["c", name, a], ["c", alias or other, b]]
            if self.chance(20):
                on = ["and", on, self.condition(scope, 1, subselects=False)]
            joins.append({"kind": self.rng.choice(["inner", "left", "left"]), "model": other, "as": alias, "on": on})
        return joins, scope

    def key_orders(self, scope):
        return [[["c", name, key], self.rng.choice(["asc", "desc"])] for name, model in scope for key in world.KEYS[model]]

    def order(self, scope, columns_only=False, lazy=True):
        orders = []
        for _ in range(self.rng.choice([0, 0, 1, 1, 2])):
            kind = self.rng.choice(ORDERED)
            e = self.column(scope, kind, lazy=lazy) if columns_only else self.plain(scope, kind, 1, lazy=lazy)
            if e:
                orders.append([e, self.rng.choice(["asc", "desc"])])
        return orders + self.key_orders(scope)

    def slice(self, find, none_too=True):
        if self.chance(22):
            find["limit"] = self.rng.choice([1, 2, 3, 5, 100] + ([0] if none_too else []))
        if self.chance(15):
            find["skip"] = self.rng.choice([0, 1, 2, 4])

    def where(self, scope, lazy=True):
        return [self.condition(scope, 2, lazy) for _ in range(self.rng.choice([0, 0, 1, 1, 1, 2]))]

    def find(self, model, joins=True, ordered=True, sliced=True):
        """A selection of whole objects."""
        if joins and self.chance(12):
            return self.combined(model)
        find = {"model": model, "as": None, "joins": []}
        scope = [(model, model)]
        if joins:
            find["joins"], scope = self.joined(model)
        find["where"] = self.where(scope)
        if self.chance(12):
            find["distinct"] = True
        if ordered:
            own = [(model, model)]
            find["order"] = self.order(own, columns_only=True, lazy=False) if find.get("distinct") else self.order(scope)
            if sliced:
                self.slice(find)
        return find

    def combined(self, model):
        def member():
            find = {"model": model, "as": None, "joins": [], "where": self.where([(model, model)])}
            if self.chance(15):
                find["order"] = self.order([(model, model)], columns_only=True)
                find["limit"] = self.rng.choice([1, 2, 4])
            return find

        def combination(depth):
            sides = [combination(depth - 1) if depth and self.chance(40) else member() for _ in range(2)]
            return {"combine": self.rng.choice(["union", "except", "intersect"]), "left": sides[0], "right": sides[1]}

        # Of combinations Storm can only write in PostgreSQL's way.
        find = combination(2 if self.database == "postgres" and self.chance(25) else 0)
        find["order"] = self.order([(model, model)], columns_only=True, lazy=False)
        self.slice(find)
        return find

    # ---- Results -----------------------------------------------------------------------------------------------------

    def aggregate(self, scope):
        """(expression, kind): something computed of many rows."""
        way = self.rng.choice(["count*", "count", "count distinct", "sum", "avg", "min", "max"])
        if way == "count*":
            return ["agg", way], "integer"
        kinds = ["integer", "real"] if way in ("sum", "avg") else ["integer", "real", "text", "date", "enum"]
        if way.startswith("count"):
            kinds += ["boolean", "bytes"]
        x = None
        while x is None:
            kind = self.rng.choice(kinds)
            x = self.plain(scope, kind, 1, small=way in ("sum", "avg"), lazy=False)
        return ["agg", way, x], {"avg": "real", "count": "integer", "count distinct": "integer"}.get(way, kind)

    def group_expression(self, scope):
        """Without values: PostgreSQL takes two parameters for two values."""
        while True:
            kind = self.rng.choice(["integer", "text", "boolean", "date", "enum", "text"])
            e = self.column(scope, kind)
            if e is None or e[2] in ("number", "photo"):
                continue
            if kind == "text" and self.chance(40):
                way = self.rng.choice(["lower", "upper", "length"])
                return ["f", way, e], "integer" if way == "length" else "text"
            return e, kind

    def selection(self):
        """(selection, columns): a selection of computed rows; columns are {"kind", "expr"} or {"whole": table}."""
        model = self.rng.choice(["person", "person", "company", "club", "membership"])
        joins, scope = self.joined(model)
        find = {"model": model, "as": None, "joins": joins, "where": self.where(scope)}
        way = self.rng.choice(["columns", "grouped", "grouped", "distinct", "whole", "total"])
        return getattr(self, "selection_" + way)(find, scope)

    def selection_columns(self, find, scope):
        columns = []
        while not columns or self.chance(50) and len(columns) < 4:
            kind = self.rng.choice(KINDS)
            e = self.plain(scope, kind, 2, small=self.chance(60))
            if e:
                columns.append({"kind": kind, "expr": e})
        find["order"] = self.order(scope)
        self.slice(find)
        return find, columns

    def selection_whole(self, find, scope):
        columns = [{"whole": name} for name, _ in scope]
        if self.chance(30):
            columns.append({"kind": "integer", "expr": self.plain(scope, "integer", 1)})
        find["order"] = self.order(scope)
        self.slice(find)
        return find, columns

    def selection_distinct(self, find, scope):
        columns = []
        for _ in range(self.rng.choice([1, 1, 2])):
            e, kind = self.group_expression(scope)
            columns.append({"kind": kind, "expr": e})
        find["distinct"] = True
        find["order"] = [[column["expr"], self.rng.choice(["asc", "desc"])] for column in columns]
        self.slice(find)
        return find, columns

    def selection_grouped(self, find, scope):
        groups = [self.group_expression(scope) for _ in range(self.rng.choice([1, 1, 2]))]
        columns = [{"kind": kind, "expr": e} for e, kind in groups]
        for _ in range(self.rng.choice([1, 1, 2])):
            e, kind = self.aggregate(scope)
            columns.append({"kind": kind, "expr": e})
        find["group"] = [e for e, _ in groups]
        if self.chance(40):
            e, kind = self.aggregate(scope)
            having = ["cmp", self.rng.choice(["<", "<=", ">", ">=", "<>"]), e, self.literal(kind)]
            find["having"] = ["or", having, ["cmp", ">", ["agg", "count*"], ["v", "integer", 1]]] if self.chance(30) else having
        find["order"] = [[e, self.rng.choice(["asc", "desc"])] for e in find["group"]]
        if self.chance(30):
            find["order"].insert(0, [["agg", "count*"], "desc"])
        self.slice(find)
        return find, columns

    def selection_total(self, find, scope):
        columns = []
        for _ in range(self.rng.choice([1, 2, 3])):
            e, kind = self.aggregate(scope)
            columns.append({"kind": kind, "expr": e})
        return find, columns
