"""What can be found wrong with a Python application without running it.

`silver check` and `silver serve` run this text with the Python that the workers embed, isolated from its environment (-I -S):

    python3 -I -S -c TEXT DIRECTORY VIRTUALENV RUNNER FOLDER...

It prints a JSON array of complaints: {"kind": "packages" or "source", "file", "line", "message", "hint", "detail"}. The
Python files of FOLDER... are compiled and not run. VIRTUALENV is "" where there is none."""

import json
import os
import re
import shlex
import sys

VERSION = "python%d.%d" % sys.version_info[:2]


def installed_places(directory, virtualenv):
    """The directories in which the application finds packages, the same as its workers': by path, so that a virtualenv
    that was copied or moved is as good as one in its place."""
    places = [os.path.join(directory, "lib", "python")]
    if virtualenv:
        places.append(os.path.join(virtualenv, "lib", VERSION, "site-packages"))
    if not virtualenv or sees_system(virtualenv):
        import site

        places += site.getsitepackages()
    return [place for place in places if os.path.isdir(place)]


def sees_system(virtualenv):
    try:
        with open(os.path.join(virtualenv, "pyvenv.cfg"), encoding="utf-8") as file:
            return re.search(r"^\s*include-system-site-packages\s*=\s*true\s*$", file.read(), re.M | re.I) is not None
    except OSError:
        return False


def parser_of_requirements(places):
    """The class that knows all of a requirement (PEP 508), where one can be found, else None: then names count only."""
    before = list(sys.path)
    sys.path += places + ["/usr/lib/python3/dist-packages"]
    try:
        from packaging.requirements import Requirement

        return Requirement
    except ImportError:
        try:
            from pip._vendor.packaging.requirements import Requirement

            return Requirement
        except ImportError:
            return None
    finally:
        sys.path[:] = before


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


# ---- What is asked for ---------------------------------------------------------------------------------------


class Asked:
    """A requirement, and where it stands."""

    def __init__(self, text, file, line):
        self.text, self.file, self.line = text, file, line


def of_requirements(directory, name, found, wrong, seen=()):
    """Reads requirements.txt as pip does, as far as names and versions go: comments, continued lines, -r."""
    path = os.path.normpath(os.path.join(directory, name))
    if path in seen:
        return
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        wrong("packages", name, 0, "cannot be read: %s" % error, "mend it, or take out what refers to it")
        return
    whole, first = "", 0
    for number, line in enumerate(lines, 1):
        first = first if whole else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            whole += line[:-1]
            continue
        whole, text = "", re.sub(r"(^|\s)#.*$", "", whole + line).strip()
        other = re.match(r"(?:-r|--requirement)[\s=]*(\S+)$", text)
        if other:
            of_requirements(directory, os.path.join(os.path.dirname(name), other[1]), found, wrong, seen + (path,))
        elif text and not text.startswith("-") and not re.match(r"[./]|\w+://", text):
            # What stands behind an option, a path or an address alone has no name to look for.
            found.append(Asked(re.split(r"\s--", text)[0].strip(), name, first))


def of_project(directory, name, found, wrong):
    """Reads [project] dependencies of pyproject.toml."""
    import tomllib

    path = os.path.join(directory, name)
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        asked = tomllib.loads(text).get("project", {}).get("dependencies", [])
        if not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
            raise ValueError("dependencies of [project] must be a list of texts")
    except (OSError, ValueError, AttributeError) as error:
        line = re.search(r"at line (\d+)", str(error))
        wrong("packages", name, int(line[1]) if line else 0, str(error), "mend it")
        return
    for each in asked:
        line = next((i for i, row in enumerate(text.split("\n"), 1) if each in row), 0)
        found.append(Asked(each, name, line))


# ---- What is there -------------------------------------------------------------------------------------------


def versions(places):
    """The installed distributions: version by normalized name, the first on the path counts."""
    from importlib.metadata import distributions

    there = {}
    for place in places:
        for distribution in distributions(path=[place]):
            name = distribution.metadata["Name"]
            if name:
                there.setdefault(normalized(name), distribution.version)
    return there


def carried(places):
    """Modules that lie in lib/python without a distribution's description: copied there by hand."""
    names = set()
    for name in os.listdir(places[0]) if places and places[0].endswith(os.path.join("lib", "python")) else []:
        names.add(normalized(name[:-3] if name.endswith(".py") else name))
    return names


def lacks(asked, there, by_hand, Requirement):
    """What is wrong with a requirement, in words; None: it is met, or does not count here."""
    if Requirement:
        requirement = Requirement(asked.text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            return None
        name, specifier = requirement.name, requirement.specifier
    else:
        match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", asked.text)
        if not match:
            raise ValueError("it begins with no name")
        if ";" in asked.text:
            return None
        name, specifier = match[0], None
    version = there.get(normalized(name))
    if version is None:
        return None if normalized(name) in by_hand else "the package %s is not installed" % name
    if specifier is not None and not specifier.contains(version, prereleases=True):
        return "the package %s is installed in version %s, and %s is asked for" % (name, version, specifier)
    return None


def command_for(directory, virtualenv, what):
    """What to type. A virtualenv's pip is called through its python, which works where it was copied to, too."""
    if not virtualenv:
        return "cd %s && /usr/bin/python3 -m venv venv && venv/bin/python -m pip install %s" % (shlex.quote(directory), what)
    inside = os.path.relpath(virtualenv, directory)
    python = shlex.quote(os.path.join(virtualenv if inside.startswith("..") else inside, "bin", "python"))
    return "cd %s && %s -m pip install %s" % (shlex.quote(directory), python, what)


def check_packages(directory, virtualenv, wrong):
    asked, missing, malformed = [], [], []
    if os.path.exists(os.path.join(directory, "requirements.txt")):
        what = "-r requirements.txt"
        of_requirements(directory, "requirements.txt", asked, wrong)
    elif os.path.exists(os.path.join(directory, "pyproject.toml")):
        what = None
        of_project(directory, "pyproject.toml", asked, wrong)
    if not asked:
        return
    places = installed_places(directory, virtualenv)
    there, by_hand, Requirement = versions(places), carried(places), parser_of_requirements(places)
    for each in asked:
        try:
            message = lacks(each, there, by_hand, Requirement)
        except ValueError as error:
            malformed.append((each, "`%s` is no requirement: %s" % (each.text, str(error).split("\n")[0])))
        else:
            missing += [(each, message)] if message else []
    what = what or " ".join(shlex.quote(each.text) for each, _ in missing)
    for each, message in missing:
        wrong("packages", each.file, each.line, message, "`%s` installs it" % command_for(directory, virtualenv, what))
    for each, message in malformed:
        wrong("packages", each.file, each.line, message, "write a name, and perhaps versions: `flask>=2.2`")


# ---- The sources ---------------------------------------------------------------------------------------------


def check_sources(directory, folders, wrong):
    for folder in folders:
        for top, inside, names in os.walk(os.path.join(directory, folder)):
            inside[:] = sorted(name for name in inside if not name.startswith((".", "__pycache__")))
            for name in sorted(names):
                if name.endswith(".py"):
                    check_source(os.path.join(top, name), os.path.relpath(os.path.join(top, name), directory), wrong)


def check_source(path, shown, wrong):
    import warnings

    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(file.read(), shown, "exec", dont_inherit=True)
    except SyntaxError as error:
        detail = "%s\n%s^" % ((error.text or "").rstrip(), " " * max((error.offset or 1) - 1, 0)) if error.text else None
        wrong("source", shown, error.lineno or 0, error.msg, None, detail)
    except (OSError, ValueError) as error:
        wrong("source", shown, 0, str(error), None)


def main():
    directory, virtualenv, runner, *folders = sys.argv[1:]
    complaints = []

    def wrong(kind, file, line, message, hint, detail=None):
        complaints.append({"kind": kind, "file": file, "line": line, "message": message, "hint": hint, "detail": detail})

    check_packages(directory, virtualenv, wrong)
    check_sources(directory, folders, wrong)
    json.dump(complaints, sys.stdout)


main()
