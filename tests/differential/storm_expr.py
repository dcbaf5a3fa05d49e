"""Expressions and selections of a sequence (generate.py says how they look) as Storm's."""

import datetime
import string

from storm.expr import (Add, And, Asc, Avg, Coalesce, ComparableExpr, Count, Desc, Div, Eq, Exists, Func, Ge, Gt, In, Join, Le, LeftJoin, Like, Lower, Lt,
                        Max, Min, Mul, Ne, Not, Or, Select, SQLRaw, Sub, Sum, Undef, Upper, compile as storm_compile)
from storm.info import ClassAlias

import world
from storm_models import CLASSES

COMPARISONS = {"=": Eq, "<>": Ne, "<": Lt, "<=": Le, ">": Gt, ">=": Ge}
ARITHMETIC = {"+": Add, "-": Sub, "*": Mul, "/": Div}
FUNCTIONS = {"lower": Lower, "upper": Upper, "coalesce": Coalesce}
AGGREGATES = {"sum": Sum, "avg": Avg, "min": Min, "max": Max, "count": Count, "count distinct": lambda x: Count(x, distinct=True)}
COMBINED = {"union": "union", "except": "difference", "intersect": "intersection"}
NO_CAPITALS = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Inside(ComparableExpr):
    """Something in parentheses. Storm leaves them out around operands of equal precedence: a * (b / c) would be another number."""

    def __init__(self, template, *parts):
        self.template, self.parts = template, parts


@storm_compile.when(Inside)
def compile_inside(compile, inside, state):
    state.precedence = 0
    return "(" + inside.template % tuple(compile(part, state) for part in inside.parts) + ")"


def value_of(kind, value):
    if value is None:
        return None
    if kind == "date":
        return datetime.date.fromisoformat(value)
    return world.decoded(kind, float(value) if kind == "real" else value)


class Builder:
    def __init__(self, store):
        self.store = store

    # ---- Tables ------------------------------------------------------------------------------------------------

    def tables(self, find, outer):
        """What is selected from, and the scope: names of tables, and what Storm calls them."""
        scope = dict(outer)

        def known(model, name):
            scope[name or model] = ClassAlias(CLASSES[model], name) if name else CLASSES[model]
            return scope[name or model]

        tables = known(find["model"], find.get("as"))
        for join in find.get("joins", []):
            right = known(join["model"], join.get("as"))
            kind = LeftJoin if join["kind"] == "left" else Join
            tables = kind(tables, right, self.condition(join["on"], scope))
        return tables, scope

    # ---- Expressions -------------------------------------------------------------------------------------------

    def expression(self, e, scope):
        head = e[0]
        if head == "c":
            return getattr(scope[e[1]], e[2])
        if head == "v":
            return value_of(e[1], e[2])
        if head == "op":
            return self.operation(e[1], *(self.expression(x, scope) for x in e[2:4]))
        if head == "f":
            given = [self.expression(x, scope) for x in e[2:]]
            return FUNCTIONS[e[1]](*given) if e[1] in FUNCTIONS else Func(e[1].upper(), *given)
        if head == "agg":
            return self.aggregate(e, scope)
        if head == "sub":
            return self.select(e[1], e[2], scope)
        raise ValueError(f"no expression: {e}")

    def operation(self, operator, a, b):
        if operator == "||":
            return Inside("%s || %s", a, b)
        if operator == "%":
            return Func("MOD", a, b) if self.store.kind == "postgres" else Inside("%s %% %s", a, b)
        return Inside("%s", ARITHMETIC[operator](a, b))

    def aggregate(self, e, scope):
        if e[1] == "count*":
            return Count()
        return AGGREGATES[e[1]](self.expression(e[2], scope))

    # ---- Conditions --------------------------------------------------------------------------------------------

    def condition(self, c, scope):
        return getattr(self, "condition_" + c[0])(scope, *c[1:])

    def condition_cmp(self, scope, operator, a, b):
        return COMPARISONS[operator](self.expression(a, scope), self.expression(b, scope))

    def condition_and(self, scope, *conditions):
        return And(*(self.condition(c, scope) for c in conditions)) if conditions else Eq(1, 1)

    def condition_or(self, scope, *conditions):
        return Or(*(self.condition(c, scope) for c in conditions)) if conditions else Eq(1, 0)

    def condition_not(self, scope, c):
        return Not(self.condition(c, scope))

    def condition_in(self, scope, x, values):
        return In(self.expression(x, scope), [self.expression(v, scope) for v in values]) if values else Eq(1, 0)

    condition_in_array = condition_in

    def condition_between(self, scope, x, low, high):
        x = self.expression(x, scope)
        return And(Ge(x, self.expression(low, scope)), Le(x, self.expression(high, scope)))

    def condition_null(self, scope, x):
        return Eq(self.expression(x, scope), None)

    def condition_true(self, scope, x):
        return Eq(self.expression(x, scope), True)

    def condition_like(self, scope, kind, x, pattern):
        x = self.expression(x, scope)
        if pattern is None:
            return Like(x, None)
        if kind == "like":
            return Like(x, pattern, "\\", True)
        if kind == "ilike" and self.store.kind == "postgres":
            return Like(x, pattern, "\\", False)
        if kind == "ilike":
            return Like(Lower(x), pattern.translate(NO_CAPITALS), "\\")
        return {"prefix": x.startswith, "suffix": x.endswith, "contains": x.contains_string}[kind](pattern)

    def condition_in_found(self, scope, x, find, column):
        return In(self.expression(x, scope), self.select(find, column, scope))

    def condition_exists(self, scope, find):
        return Exists(self.select(find, None, scope))

    def all_of(self, conditions, scope):
        built = [self.condition(c, scope) for c in conditions]
        return And(*built) if built else Undef

    # ---- Selections --------------------------------------------------------------------------------------------

    def orders(self, orders, scope):
        return [(Desc if way == "desc" else Asc)(self.expression(e, scope)) for e, way in orders] or Undef

    def select(self, find, e, outer):
        """A sub-select of one expression (None: whether there are rows)."""
        tables, scope = self.tables(find, outer)
        return Select(SQLRaw("1") if e is None else self.expression(e, scope), self.all_of(find.get("where", []), scope), tables,
                      order_by=self.orders(find.get("order", []), scope), limit=find.get("limit", Undef), offset=find.get("skip", Undef),
                      distinct=find.get("distinct", False))

    def result_set(self, find, columns=None):
        """A ResultSet: of whole objects, or (`columns`) of tuples. Gives its scope as well."""
        if "combine" in find:
            return self.combined(find)
        tables, scope = self.tables(find, {})
        spec = scope[find.get("as") or find["model"]] if columns is None else tuple(self.spec(column, scope) for column in columns)
        results = self.store.using(tables).find(spec)
        where = self.all_of(find.get("where", []), scope)
        if where is not Undef:
            results = results.find(where)
        if find.get("group"):
            results.group_by(*(self.expression(e, scope) for e in find["group"]))
        if find.get("having"):
            results.having(self.condition(find["having"], scope))
        return self.cut(results.config(distinct=find.get("distinct", False)), find, scope), scope

    def class_of(self, find):
        return self.class_of(find["left"]) if "combine" in find else CLASSES[find["model"]]

    def spec(self, column, scope):
        return scope[column["whole"]] if "whole" in column else self.expression(column["expr"], scope)

    def cut(self, results, find, scope):
        orders = self.orders(find.get("order", []), scope)
        if orders is not Undef:
            results = results.order_by(*orders)
        return results.config(limit=find.get("limit"), offset=find.get("skip"))

    def combined(self, find):
        left, scope = self.result_set(find["left"])
        right, _ = self.result_set(find["right"])
        results = self.cut(getattr(left, COMBINED[find["combine"]])(right), find, scope)
        if "skip" in find and "limit" not in find:
            results.config(limit=10**9)  # SQLite has no OFFSET without LIMIT, and Storm forgets that here
        return results, scope
