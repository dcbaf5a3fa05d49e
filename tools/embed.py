#!/usr/bin/env python3
"""Makes C of text files.

embed.py OUTPUT.c NAME ROOT FILE... defines the table NAME (of src/cli/template.h): the path of each file below ROOT, and its
text. embed.py OUTPUT.c NAME FILE defines the text NAME."""

import os
import sys


def quoted(text):
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "?": "\\?"}
    for character in text:
        if character not in escapes and not " " <= character <= "~":
            sys.exit(f"embed.py: only plain ASCII can be embedded, not {character!r}")
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def text_lines(path):
    with open(path, encoding="utf-8") as file:
        return [f"     {quoted(line)}" for line in file.read().splitlines(keepends=True) or [""]]


def table(name, root, files):
    lines = ['#include "cli/template.h"', "", f"const sl__cli_template_file {name}[] = {{"]
    for path in sorted(files):
        lines += [f"    {{{quoted(os.path.relpath(path, root))},", *text_lines(path), "    },"]
    return lines + ["    {0},", "};"]


def text(name, path):
    return [f"extern const char {name}[];", f"const char {name}[] =", *text_lines(path), "    ;"]


def main():
    output, name, first, *files = sys.argv[1:]
    lines = table(name, first, files) if files else text(name, first)
    with open(output, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


main()
