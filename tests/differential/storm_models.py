"""Storm's classes for the tables of world.py."""

from storm.locals import Bool, Bytes, Date, Enum, Float, Int, Reference, ReferenceSet, Unicode

import world

PROPERTIES = {"integer": Int, "real": Float, "text": Unicode, "bytes": Bytes, "boolean": Bool, "date": Date}


def property_of(model, c):
    options = {} if c.default is None else {"default": c.default}
    if c.key and len(world.KEYS[model]) == 1:
        options["primary"] = True
    if c.kind == "enum":
        return Enum(map={name: name for name in world.COLOURS}, **options)
    return PROPERTIES[c.kind](**options)


def class_of(model):
    attributes = {c.name: property_of(model, c) for c in world.MODELS[model]}
    attributes["__storm_table__"] = model
    if len(world.KEYS[model]) > 1:
        attributes["__storm_primary__"] = tuple(world.KEYS[model])
    return type(model.capitalize(), (), attributes)


CLASSES = {model: class_of(model) for model in world.MODELS}
MODEL_OF = {cls: model for model, cls in CLASSES.items()}


def add_references():
    """For each column that refers, `employer_ref`, and on the other side the set of those that refer: `person_employer_set`."""
    for model, columns in world.MODELS.items():
        for c in columns:
            if not c.refers:
                continue
            target = CLASSES[c.refers]
            local, remote = getattr(CLASSES[model], c.name), getattr(target, world.KEYS[c.refers][0])
            setattr(CLASSES[model], c.name + "_ref", Reference(local, remote))
            setattr(target, f"{model}_{c.name}_set", ReferenceSet(remote, local))
    person, club, membership = CLASSES["person"], CLASSES["club"], CLASSES["membership"]
    club.person_linked = ReferenceSet(club.code, membership.club, membership.member, person.id)
    person.club_linked = ReferenceSet(person.id, membership.member, membership.club, club.code)


add_references()
