#!/usr/bin/python3
"""run.py: random sequences of operations by Storm (Debian's python3-storm) and by libsilver, on copies of one database. Both must
give the same results, and leave the same rows.

    run.py --ours build/tests/differential/ours --count 200
    run.py --ours … --replay FILE                     a sequence that failed before
    run.py --ours storm --count 200                   Storm against itself, to see that the test is sound

What differs is made as small as possible, printed, and kept in a file for --replay. Each sequence follows from its seed: that of the
first is --seed, or as printed."""

import argparse
import json
import os
import random
import sys
import time

import compare
import generate
import shrink
import sides
from server import Server

SHRINK_SECONDS = 60
SEQUENCES_A_PROCESS = 200  # then libsilver's is ended, which looks for leaks, and another one started


class Runner:
    def __init__(self, database, ours):
        self.database = database
        self.theirs = sides.Program("Storm", sides.STORM)
        self.ours = sides.Program("libsilver", sides.STORM if ours == "storm" else [ours])
        self.operations = self.failures = 0

    def run(self, sequence):
        """(operation's number, words, what Storm gave, what we gave), or None where all is the same."""
        names = ("theirs", "ours")
        try:
            self.database.prepare(sequence, names)
        except Exception as error:  # a shrunk sequence's first rows may break a constraint
            return None if sequence.get("shrinking") else (0, f"the first rows cannot be stored: {error}", None, None)
        for program, name in ((self.theirs, "theirs"), (self.ours, "ours")):
            program.send(self.database.url(name), sequence)
        theirs, ours = self.theirs.receive(), self.ours.receive()
        self.operations += len(sequence["ops"])
        self.failures += any("error" in result for result in theirs)
        different = compare.difference(sequence["ops"], theirs, ours)
        for side in (theirs, ours):  # a side that died, or that does not understand, is no side
            for at, result in enumerate(side):
                if "dead" in result or str(result.get("error", "")).startswith("broken"):
                    different = (at, "dead" if "dead" in result else "".join(result["error"].split(":")[:2]))
                    break
        if different:
            at, words = different
            return at, words, theirs[at], ours[at]
        if any("dead" in result for result in ours):
            return 0, "it died", None, None
        left, right = self.database.dump("theirs"), self.database.dump("ours")
        for model in left:
            if not compare.same_value(left[model], right[model]):
                rows = [(a, b) for a, b in zip(left[model] + [None] * len(right[model]), right[model] + [None] * len(left[model])) if a != b]
                return len(sequence["ops"]) - 1, f"the tables of {model} differ", rows[0][0], rows[0][1]
        return None

    def smallest(self, sequence, found):
        kind = sequence["ops"][found[0]]["op"]

        def fails(candidate):
            other = self.run({**candidate, "shrinking": True})
            return other is not None and other[1] == found[1] and candidate["ops"][other[0]]["op"] == kind

        return shrink.shrunk(sequence, fails, SHRINK_SECONDS)

    def report(self, sequence, first, keep):
        found = self.run(sequence)
        if found is None:
            print(f"Sequence {sequence['seed']} differed at first, and did not when it was run again: at operation {first[0]}, {first[1]}")
            print(f"  Storm:     {json.dumps(first[2], ensure_ascii=False)}\n  libsilver: {json.dumps(first[3], ensure_ascii=False)}")
            return
        small = self.smallest(sequence, found) if not keep else sequence
        at, words, theirs, ours = self.run(small) or found
        path = os.path.abspath(f"differential-{sequence['database']}-{sequence['seed']}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(small, file, ensure_ascii=False, indent=1)
        print(f"Sequence {sequence['seed']}: at operation {at}, {words}.")
        for model, rows in small["initial"].items():
            for row in rows:
                print(f"    {model}: {json.dumps(row, ensure_ascii=False)}")
        for number, op in enumerate(small["ops"]):
            print(f"  {'>' if number == at else ' '} {number}: {json.dumps(op, ensure_ascii=False)}")
        if isinstance(ours, dict) and "dead" not in ours:
            for path_in, a, b in compare.differing(theirs, ours)[:5]:
                print(f"  {path_in or 'it'}: Storm {json.dumps(a, ensure_ascii=False)}, libsilver {json.dumps(b, ensure_ascii=False)}")
        print(f"  Storm:     {json.dumps(theirs, ensure_ascii=False)}")
        print("  libsilver: " + (ours["dead"] if isinstance(ours, dict) and "dead" in ours else json.dumps(ours, ensure_ascii=False)))
        print(f"  Again: tests/differential/run.py --ours … --database {sequence['database']} --replay {path}", flush=True)

    def close(self):
        self.theirs.close()
        return self.ours.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ours", required=True, help="the program tests/differential/ours; or storm")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--replay", metavar="FILE")
    parser.add_argument("--failures", type=int, default=3, help="how many differences to look for before giving up (3)")
    parser.add_argument("--whole", action="store_true", help="do not make what differs smaller")
    given = parser.parse_args()
    if given.database == "postgres":
        with Server() as server:
            return work(given, sides.Postgres(server))
    return work(given, sides.SQLite())


def work(given, database):
    runner = Runner(database, given.ours)
    seed = given.seed if given.seed is not None else random.randrange(10**9)
    started, bad, count = time.monotonic(), 0, 0
    try:
        if given.replay:
            sequences = [json.load(open(given.replay, encoding="utf-8"))]
        else:
            print(f"differential: {given.count} sequences on {given.database}, the first has --seed {seed}", flush=True)
            sequences = (generate.sequence(seed + i, given.database) for i in range(given.count))
        for sequence in sequences:
            count += 1
            if count % SEQUENCES_A_PROCESS == 0 and (words := runner.close()):
                bad += 1
                print(words)
            found = runner.run(sequence)
            if found is not None:
                bad += 1
                runner.report(sequence, found, keep=given.replay or given.whole)
                if bad == given.failures:
                    break
        words = runner.close()
        if words:
            bad += 1
            print(words)
    finally:
        database.close()
    print(f"differential: {count} sequences, {runner.operations} operations, {runner.failures} with a constraint broken, {bad} differ; "
          f"{time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
