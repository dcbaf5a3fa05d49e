"""Random sequences of operations, each made of one seed.

What the tables hold is followed roughly, so that most writes keep the constraints: a sequence that fails at its third
operation tests little. Some break them on purpose."""

import copy
import random

import world
from expressions import Expressions, INTEGERS

# Keys that the generator gives to new rows; what there is at the beginning has smaller ones.
NEW_KEYS = range(13, 400)
KEY_COLUMNS = ("id", "code", "member", "club")


class Generator(Expressions):
    def __init__(self, seed, database):
        super().__init__(random.Random(seed), database)
        self.seed = seed
        self.keys = iter(NEW_KEYS)
        self.rows = {model: {} for model in world.MODELS}  # by key, a tuple
        self.operations = []
        self.forget_objects()

    def forget_objects(self):
        self.slots = {}      # slot: (model, key); a key that the database gives is (None,)
        self.next_slot = 0
        self.given = set()   # models with a new row whose key the database gives, since the last flush
        self.linked = set()  # slots with a link that may not be written yet
        self.targets = set() # (model, key) of what was linked to: in Storm what refers to it follows a change of its key
        self.executed = False  # raw SQL: then objects say what is stored only after they were looked for again
        self.refers = False  # something that may not be written yet refers to a row that may take it along

    def emit(self, op, **fields):
        self.operations.append({"op": op, **fields})

    # ---- Values of rows ----------------------------------------------------------------------------------------------

    def fresh(self, model, column):
        """A value of a unique column that no row has, or (sometimes) that one has."""
        used = {row.get(column.name) for row in self.rows[model].values()}
        for _ in range(20):
            if column.kind == "integer":
                value = self.rng.randrange(1, 40)
            else:
                value = self.value("text") if self.chance(40) else f"{column.name} {self.rng.randrange(30)}"
            if value not in used or self.chance(2):
                return value
        return value

    def existing(self, model):
        return self.rng.choice(list(self.rows[model])) if self.rows[model] else None

    def column_value(self, model, column):
        if column.unique:
            return self.fresh(model, column)
        if column.refers:
            key = self.existing(column.refers)
            return None if key is None or self.chance(25) and not column.key else self.rng.randrange(500, 510) if self.chance(2) and \
                column.kind == "integer" else key[0]
        return self.value(column.kind, column.name)

    def together_ok(self, model, row, key=None):
        for names in world.TOGETHER.get(model, []):
            mine = tuple(row.get(name) for name in names)
            if None not in mine and any(mine == tuple(other.get(name) for name in names) for k, other in self.rows[model].items() if k != key):
                return False
        return True

    def new_key(self, model):
        """Of the key columns; None where there is no free one."""
        if model == "membership":
            pairs = [(p[0], c[0]) for p in self.rows["person"] for c in self.rows["club"]]
            free = [pair for pair in pairs if pair not in self.rows[model]] or pairs
            return self.rng.choice(free) if free else None
        if model == "club":
            code = self.value("text", "code")
            if (code,) in self.rows[model] and not self.chance(3):
                code = f"club {next(self.keys)}"
            return (code,)
        if self.chance(2) and self.rows[model]:
            return self.existing(model)
        return (next(self.keys),)

    def new_row(self, model, all_columns=False):
        """(key, values): values have the key's columns."""
        key = self.new_key(model)
        if key is None:
            return None
        values = dict(zip(world.KEYS[model], key))
        for column in world.MODELS[model]:
            if column.key or (not all_columns and not column.required and self.chance(35)):
                continue
            nullable = not column.required
            values[column.name] = None if nullable and self.chance(12) else self.column_value(model, column)
        if not self.together_ok(model, values) and not self.chance(5):
            values.update({name: None for names in world.TOGETHER[model] for name in names if not world.COLUMNS[model][name].required})
        return key, values

    def remember(self, model, key, values):
        row = {c.name: c.default for c in world.MODELS[model]}
        row.update(values)
        self.rows[model][key] = row

    def known_values(self, column):
        return [row[column] for rows in self.rows.values() for row in rows.values() if row.get(column) is not None]

    # ---- The whole ---------------------------------------------------------------------------------------------------

    def sequence(self):
        initial = {model: [] for model in world.MODELS}
        for model, most in (("company", 6), ("person", 11), ("club", 5), ("membership", 8)):
            keys = iter(range(1, most + 1))
            for _ in range(self.rng.choice([0, most // 2, most, most, most])):
                made = self.new_row(model, all_columns=True)
                if made is None:
                    continue
                key, values = made
                if world.has_given_key(model):
                    key = (next(keys),)
                    values["id"] = key[0]
                if key in self.rows[model] or not self.together_ok(model, values) or self.breaks(model, values):
                    continue
                self.remember(model, key, values)
                initial[model].append(dict(self.rows[model][key]))
        for _ in range(self.rng.choice([1, 2, 2, 3, 4])):
            for _ in range(self.rng.choice([0, 0, 1])):
                self.question(outside=True)
            self.transaction()
        self.forget_objects()
        self.emit("dump")
        return {"seed": self.seed, "database": self.database, "initial": initial, "ops": self.operations}

    def breaks(self, model, values):
        for c in world.MODELS[model]:
            if c.unique and values.get(c.name) is not None and any(row.get(c.name) == values[c.name] for row in self.rows[model].values()):
                return True
            if c.refers and values.get(c.name) is not None and (values[c.name],) not in self.rows[c.refers]:
                return True
        return False

    def transaction(self):
        before = copy.deepcopy(self.rows)
        self.forget_objects()
        self.emit("begin")
        if self.database == "postgres":
            self.emit("given-keys")
        self.block(self.rng.choice([2, 4, 6, 9, 14, 20]), depth=0)
        if self.chance(20):
            self.emit("rollback")
            self.rows = before
        else:
            self.emit("commit")
        self.forget_objects()

    def block(self, count, depth):
        for _ in range(count):
            way = self.rng.random() * 100
            if way < 5 and depth < 2:
                self.savepoint(depth)
            elif way < 7 and depth < 2:
                self.emit("nested")
                self.block(self.rng.randrange(1, 4), depth + 1)
                self.emit("leave")
            elif way < 55:
                self.write()
            elif way < 62:
                self.emit("flush")
                self.flushed()
            else:
                self.question(outside=False)

    def savepoint(self, depth):
        before, slots = copy.deepcopy(self.rows), dict(self.slots)
        self.emit("savepoint")
        self.flushed()
        self.block(self.rng.randrange(1, 7), depth + 1)
        if self.chance(40):
            self.emit("undo")
            self.rows, self.slots = before, slots
            self.linked = set()
            if self.database == "postgres":
                self.emit("given-keys")
        else:
            self.emit("release")
        self.flushed()

    def flushed(self):
        self.given, self.linked, self.refers = set(), set(), False

    def note_references(self, model, names):
        self.refers |= any(world.COLUMNS[model][name].on_delete for name in names)

    # ---- Slots -------------------------------------------------------------------------------------------------------

    def new_slot(self, model, key):
        self.next_slot += 1
        self.slots[self.next_slot] = (model, key)
        return self.next_slot

    def slot(self, model=None):
        found = [slot for slot, (its, _) in self.slots.items() if model is None or its == model]
        return self.rng.choice(found) if found else None

    def some_slot(self):
        """A slot, and its model; the object is read if there is none."""
        slot = self.slot() if self.chance(75) else None
        if slot is None:
            slot = self.get()
        return (slot, self.slots[slot][0]) if slot is not None else (None, None)

    def drop(self, model, key):
        self.rows[model].pop(key, None)
        for slot in [slot for slot, what in self.slots.items() if what == (model, key)]:
            if not self.chance(8):  # sometimes it is used all the same
                del self.slots[slot]
        if model == "person":
            for pair in [pair for pair in self.rows["membership"] if pair[0] == key[0]]:
                self.rows["membership"].pop(pair)
            for row in self.rows["person"].values():
                if row.get("boss") == key[0]:
                    row["boss"] = None

    # ---- Writing -----------------------------------------------------------------------------------------------------

    def write(self):
        ways = [(self.add, 26), (self.edit, 26), (self.link, 9), (self.compute, 4), (self.remove, 10), (self.update, 8), (self.delete, 4),
                (self.put, 5), (self.many, 3), (self.execute, 2), (self.exchange, 4), (self.edit_key, 2)]
        self.rng.choices([way for way, _ in ways], [weight for _, weight in ways])[0]()

    def add(self):
        model = self.rng.choice(["person", "person", "person", "company", "company", "club", "membership"])
        made = self.new_row(model)
        if made is None:
            return
        key, values = made
        if world.has_given_key(model) and self.chance(35):
            if model in self.given:
                self.emit("flush")
                self.flushed()
            self.given.add(model)
            del values["id"]
            key = (None,)
        links = self.links_of(model, values)
        if self.chance(1.5):
            values.pop(self.rng.choice([c.name for c in world.MODELS[model] if c.required and not (c.key and world.has_given_key(model))]), None)
        slot = self.new_slot(model, key) if self.chance(80) else None
        if links and slot:
            self.linked.add(slot)
        self.note_references(model, [*values, *links])
        self.emit("add", model=model, values=values, links=links, late=self.chance(30), **{"as": slot})
        if key != (None,):
            self.remember(model, key, values)

    def links_of(self, model, values):
        """References to objects at hand, in place of keys."""
        links = {}
        for c in world.MODELS[model]:
            slot = self.slot(c.refers) if c.refers else None
            if slot is None or not self.chance(30) or (c.key and (self.slots[slot][1][0] is None or slot in self.linked)):
                continue
            if c.key and self.slots[slot][1][0] != values.get(c.name):
                continue
            links[c.name] = slot
            self.targets.add(self.slots[slot])
            values.pop(c.name, None)
        return links

    def edit(self):
        slot, model = self.some_slot()
        if slot is None:
            return
        key = self.slots[slot][1]
        columns = [c for c in world.MODELS[model] if not c.key]
        values = {}
        for c in self.rng.sample(columns, min(len(columns), self.rng.choice([1, 1, 2, 3]))):
            null = self.chance(15) and (not c.required or self.chance(10))
            zero = self.chance(10) and c.kind in ("integer", "real") and not c.refers and not c.unique
            values[c.name] = None if null else 0 if zero else self.column_value(model, c)
        row = {**self.rows[model].get(key, {}), **values}
        if not self.together_ok(model, row, key):
            return
        # What refers to a new object, and is then referred to by its key: a loop to us, and none that Storm sees.
        if self.slots[slot] in self.targets and any(world.COLUMNS[model][name].refers == model for name in values):
            self.emit("flush")
            self.flushed()
        self.note_references(model, values)
        self.emit("edit", slot=slot, values=values)
        if key in self.rows[model]:
            self.rows[model][key].update(values)
        if self.chance(15):
            plain = [name for name in values if not world.COLUMNS[model][name].refers and not world.COLUMNS[model][name].lazy]
            self.emit("peek", slot=slot, columns=plain)

    def edit_key(self):
        """With a flush around it: until then both names mean the row."""
        slot, model = self.some_slot()
        if slot is None or model == "membership" or self.slots[slot][1][0] is None or self.slots[slot] in self.targets:
            return
        key = self.new_key(model)
        self.emit("flush")
        self.flushed()
        self.emit("edit", slot=slot, values={world.KEYS[model][0]: key[0]})
        self.emit("flush")
        self.rows[model][key] = {**self.rows[model].pop(self.slots[slot][1], {}), world.KEYS[model][0]: key[0]}
        self.slots = {s: (m, key) if (m, k) == self.slots[slot] else (m, k) for s, (m, k) in self.slots.items()}

    def exchange(self):
        """Two objects exchange their values of a unique column, or one takes the value of another that is removed or changed."""
        model, name = self.rng.choice([("company", "name"), ("person", "badge"), ("club", "size")])
        known = [key for key in self.rows[model] if None not in key]
        if len(known) < 2:
            return
        one, other = self.rng.sample(known, 2)
        first, second = self.get(model, one), self.get(model, other)
        a, b = self.rows[model][one].get(name), self.rows[model][other].get(name)
        if a is None or b is None:
            return
        way = self.rng.choice(["exchange", "take", "new"])
        if way == "exchange":
            self.emit("edit", slot=first, values={name: b})
            self.emit("edit", slot=second, values={name: a})
            self.rows[model][one][name], self.rows[model][other][name] = b, a
        elif way == "take":
            new = self.fresh(model, world.COLUMNS[model][name])
            self.emit("edit", slot=first, values={name: b})
            self.emit("edit", slot=second, values={name: new})
            self.rows[model][one][name], self.rows[model][other][name] = b, new
        elif model == "person":
            self.emit("remove", slot=second)
            self.drop(model, other)
            self.emit("edit", slot=first, values={name: b})
            if one in self.rows[model]:
                self.rows[model][one][name] = b

    def link(self):
        slot, model = self.some_slot()
        columns = [c for c in world.MODELS[model] if c.refers and not c.key] if slot is not None else []
        if not columns:
            return
        c = self.rng.choice(columns)
        to = None if self.chance(20) else self.slot(c.refers)
        if to == slot:  # of a new object Storm says that it is a loop
            return
        self.note_references(model, [c.name])
        self.emit("link", slot=slot, column=c.name, to=to)
        self.linked.add(slot)
        self.targets.add(self.slots.get(to))
        key = self.slots[slot][1]
        if key in self.rows[model]:
            self.rows[model][key][c.name] = self.slots[to][1][0] if to is not None else None

    def compute(self):
        slot, model = self.some_slot()
        names = {"company": ["rank"], "person": ["age", "height"], "membership": ["since", "note"]}.get(model)
        if slot is None or not names:
            return
        self.emit("flush")
        self.flushed()
        name = self.rng.choice(names)
        self.emit("compute", slot=slot, column=name, expr=self.plain([(model, model)], world.COLUMNS[model][name].kind, 2, small=True))
        self.emit("flush")  # until then the object has the old value here, and none in Storm

    def remove(self):
        slot, model = self.some_slot()
        if slot is None:
            return
        key = self.slots[slot][1]
        referred = any(row.get(c.name) == key[0] for other, columns in world.MODELS.items() for c in columns if c.refers == model and not c.on_delete
                       for row in self.rows[other].values())
        if referred and not self.chance(4):
            return
        if key == (None,) and slot in self.linked:
            return
        # What refers to it is taken along, or fails: that depends on the order.
        if model == "person" and self.refers or self.slots[slot] in self.targets:
            self.emit("flush")
            self.flushed()
        self.emit("remove", slot=slot)
        self.drop(model, key)
        if referred:  # before another row has its key, which would make it well in Storm
            self.emit("flush")

    def update(self):
        model = self.rng.choice(["person", "person", "company", "membership"])
        scope = [(model, model)]
        columns = [c for c in world.MODELS[model] if not c.key and not c.unique]
        changes = {}
        for c in self.rng.sample(columns, self.rng.choice([1, 1, 2])):
            e = self.plain(scope, c.kind, 2, small=True) if self.chance(35) and not c.refers else None
            changes[c.name] = e or ["v", c.kind, self.column_value(model, c)]
        self.emit("update", find={"model": model, "as": None, "joins": [], "where": self.where(scope)}, set=changes)
        self.flushed()
        slot = self.slot(model)
        if slot is not None and not self.executed and self.chance(40):
            self.emit("peek", slot=slot, columns=[name for name in changes if not world.COLUMNS[model][name].lazy])

    def delete(self):
        model = self.rng.choice(["membership", "membership", "person", "club", "company"])
        scope = [(model, model)]
        where = self.where(scope) or [self.condition(scope)]
        if model != "membership":
            where.append(self.condition(scope))
        self.emit("delete", find={"model": model, "as": None, "joins": [], "where": where})
        self.flushed()

    def put(self):
        model = self.rng.choice(["company", "person", "club", "membership"])
        unique = {"company": ["name"], "person": ["badge"], "club": self.rng.choice([["size"], ["code"]]), "membership": ["member", "club"]}[model]
        made = self.new_row(model)
        if made is None:
            return
        key, values = made
        other = self.existing(model)
        if other is not None and self.chance(50):
            for name in unique:
                values[name] = self.rows[model][other].get(name)
            key = tuple(values[name] for name in world.KEYS[model])
        slot = self.new_slot(model, key) if self.chance(50) and unique == world.KEYS[model] else None
        self.emit(self.rng.choice(["put", "unless"]), model=model, values=values, unique=unique, **{"as": slot})
        self.flushed()
        if key not in self.rows[model]:
            self.remember(model, key, values)

    def many(self):
        model = self.rng.choice(["company", "person", "club", "membership"])
        rows = []
        for _ in range(self.rng.choice([1, 2, 4])):
            made = self.new_row(model)
            if made:
                rows.append(made[1])
                self.remember(model, *made)
        self.emit("many", model=model, rows=rows)
        self.flushed()

    def execute(self):
        statement = self.rng.randrange(3)
        values = [[self.rng.choice(INTEGERS), self.value("integer", "id")], [self.rng.choice(INTEGERS), self.value("integer", "employer")],
                  [self.value("integer", "member")]][statement]
        self.executed = True
        self.emit("execute", statement=statement, values=values)
        self.flushed()

    # ---- Questions ---------------------------------------------------------------------------------------------------

    def question(self, outside):
        ways = [(self.find_objects, 30), (self.select, 22), (self.count, 8), (self.one_value, 12)]
        if not outside:
            ways += [(self.get, 14), (self.show, 8), (self.reload, 3), (self.follow, 6), (self.referring, 5), (self.linked_objects, 3)]
        way = self.rng.choices([way for way, _ in ways], [weight for _, weight in ways])[0]
        if way == self.find_objects:
            way(outside)
        else:
            way()

    def get(self, model=None, key=None):
        model = model or self.rng.choice(list(world.MODELS))
        key = key or (self.existing(model) if self.chance(90) else None)
        if key is None or None in key:
            key = tuple(self.value(world.COLUMNS[model][name].kind, name) for name in world.KEYS[model])
        if self.linked:  # Storm knows a key that is to be, where ours is filled in when it is written
            self.emit("flush")
            self.flushed()
        slot = self.new_slot(model, key)
        self.emit("get", model=model, key=list(key), locked=self.chance(8), **{"as": slot})
        return slot

    def show(self):
        slot, _ = self.some_slot()
        if slot is not None:
            self.emit("show", slot=slot)
            self.flushed()

    def reload(self):
        slot, model = self.some_slot()
        if slot is None:
            return
        self.emit("flush")  # when else it is written differs
        self.flushed()
        if self.chance(50):
            self.emit("edit", slot=slot, values=self.plain_values(model))
        self.emit("reload", slot=slot)

    def plain_values(self, model):
        columns = [c for c in world.MODELS[model] if not c.required and not c.refers and not c.unique]
        return {c.name: self.value(c.kind, c.name) for c in self.rng.sample(columns, min(2, len(columns)))}

    def follow(self):
        slot, model = self.some_slot()
        columns = [c for c in world.MODELS[model] if c.refers] if slot is not None else []
        if columns:
            c = self.rng.choice(columns)
            row = self.rows[model].get(self.slots[slot][1])
            known = row and row.get(c.name) is not None
            to = self.new_slot(c.refers, (row[c.name],)) if known and self.chance(50) else None
            self.emit("follow", slot=slot, column=c.name, **{"as": to})

    def cut_of(self, model):
        scope = [(model, model)]
        find = {"where": self.where(scope), "order": self.order(scope)}
        self.slice(find, none_too=False)
        return find

    def referring(self):
        model, name = self.rng.choice([("person", "employer"), ("company", "parent"), ("person", "boss"), ("membership", "member"),
                                       ("membership", "club")])
        slot = self.slot(world.COLUMNS[model][name].refers)
        if slot is not None:
            self.emit("referring", slot=slot, model=model, column=name, how="list", find=self.cut_of(model))
            self.flushed()

    def linked_objects(self):
        model, target = self.rng.choice([("person", "club"), ("club", "person")])
        slot = self.slot(target)
        if slot is not None:
            self.emit("linked", slot=slot, model=model, how="list", find=self.cut_of(model))
            self.flushed()

    def find_objects(self, outside=False):
        model = self.rng.choice(["person", "person", "person", "company", "club", "membership"])
        how = self.rng.choice(["list", "list", "list", "each", "rows", "first", "last", "one", "unordered"])
        if how == "unordered":
            find = self.find(model, ordered=False) if self.chance(90) else self.find(model)
            self.emit("find", find=find, how="list", unordered=True)
        elif how == "one":
            key = self.existing(model)
            if key is None:
                return
            scope = [(model, model)]
            where = [["cmp", "=", ["c", model, name], ["v", world.COLUMNS[model][name].kind, value]] for name, value in zip(world.KEYS[model], key)]
            self.emit("find", find={"model": model, "as": None, "joins": [], "where": where + self.where(scope)}, how="one")
        else:
            find = self.find(model)
            if how in ("first", "last"):
                if find.get("limit") == 0:
                    del find["limit"]
            if how == "list" and "combine" not in find and self.chance(20):
                refers = [c.name for c in world.MODELS[model] if c.refers]
                if refers and not outside and not self.linked:
                    find["preload"] = [self.rng.choice(refers)]
            slots = []
            if how == "list" and self.chance(30):
                self.next_slot += 1
                slots = [[self.next_slot, self.rng.randrange(3)]]
            self.emit("find", find=find, how=how, slots=slots)
            for slot, _ in slots:
                self.slots[slot] = (model, ("unknown",) * len(world.KEYS[model]))
        self.flushed()

    def select(self):
        find, columns = self.selection()
        self.emit("select", find=find, columns=columns, how=self.rng.choice(["list", "list", "each", "rows"]))
        self.flushed()

    def count(self):
        if self.chance(25):
            find, columns = self.selection()
            self.emit(self.rng.choice(["count", "empty"]), find=find, columns=columns)
        else:
            model = self.rng.choice(list(world.MODELS))
            self.emit(self.rng.choice(["count", "count", "empty"]), find=self.find(model))
        self.flushed()

    def one_value(self):
        model = self.rng.choice(["person", "person", "company", "club", "membership"])
        find = self.find(model)
        scope = [(model, model)]
        if "combine" not in find:
            scope += [(join["as"] or join["model"], join["model"]) for join in find["joins"]]
        if "combine" in find or find.get("distinct") or "limit" in find or "skip" in find:
            scope = scope[:1]
        e, kind = self.aggregate(scope)
        while kind == "enum":  # sl_value does not take it
            e, kind = self.aggregate(scope)
        self.emit("value", find=find, expr=e, kind=kind)
        self.flushed()


def sequence(seed, database):
    return Generator(seed, database).sequence()
