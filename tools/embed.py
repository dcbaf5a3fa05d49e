#!/usr/bin/env python3
"""Makes C of text files: embed.py OUTPUT.c ROOT FILE...

The output defines sl__cli_template (src/cli/template.h): the path of each file below ROOT, and its text."""

import os
import sys


def quoted(text):
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "?": "\\?"}
    for character in text:
        if character not in escapes and not " " <= character <= "~":
            sys.exit(f"embed.py: only plain ASCII can be embedded, not {character!r}")
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def main():
    output, root, *files = sys.argv[1:]
    lines = ['#include "cli/template.h"', "", "const sl__cli_template_file sl__cli_template[] = {"]
    for path in sorted(files):
        with open(path, encoding="utf-8") as file:
            texts = file.read().splitlines(keepends=True)
        name = os.path.relpath(path, root)
        lines.append(f"    {{{quoted(name)},")
        lines += [f"     {quoted(text)}" for text in texts or [""]]
        lines.append("    },")
    lines += ["    {0},", "};", ""]
    with open(output, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))


main()
