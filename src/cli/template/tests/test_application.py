"""Serves the application on a free port and uses it as a browser would. Needs nothing but Python, and silver in PATH
or its place in SILVER:

    python3 tests/test_application.py"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

SILVER = os.environ.get("SILVER", "silver")
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Application(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which(SILVER):
            raise FileNotFoundError(f"there is no command {SILVER!r}: put silver into PATH or set SILVER to where it is")
        cls.files = tempfile.TemporaryDirectory()
        cls.server = subprocess.Popen(
            [SILVER, "serve", "--listen", "127.0.0.1:0", HERE],
            env={**os.environ, "CONFIG_FILES": cls.files.name},
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = cls.server.stdout.readline()
        found = re.search(r"http://\S+:\d+", ready)
        if not found:
            raise AssertionError(f"silver serve did not start: {ready!r}")
        cls.url = found.group()

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        cls.server.wait()
        cls.server.stdout.close()
        cls.files.cleanup()

    def get(self, path, **form):
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(self.url + path, data, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def test_signing(self):
        self.assertEqual(self.get("/")[0], 200)
        status, page = self.get("/", author="Ada", text="Is 1 < 2?")
        self.assertEqual(status, 200)
        self.assertIn("Is 1 &lt; 2?", page)
        self.assertIn("Is 1 &lt; 2?", self.get("/by/Ada")[1])

    def test_an_empty_form_is_shown_again(self):
        status, page = self.get("/", author="Grace", text="")
        self.assertEqual(status, 422)
        self.assertIn("Please give your name", page)
        self.assertIn('value="Grace"', page)

    def test_what_cannot_be_signed(self):
        for author in (".", ".."):
            status, page = self.get("/", author=author, text="Hi")
            self.assertEqual(status, 422)
            self.assertIn("more than dots", page)
        for author, text, complaint in (("\u00e9" * 65, "Hi", "64 characters"), ("Ada", "\u00e9" * 1001, "1000 characters")):
            status, page = self.get("/", author=author, text=text)
            self.assertEqual(status, 422)
            self.assertIn(complaint, page)
        self.assertEqual(self.get("/")[0], 200)

    def test_as_much_as_the_form_allows(self):
        status, page = self.get("/", author="\u00e9" * 64, text="\u00fc" * 998 + "\r\nx")
        self.assertEqual(status, 200)
        self.assertIn("\u00e9" * 64, page)

    def test_lines_that_others_wrote_are_passed_over(self):
        with open(os.path.join(self.files.name, "entries.jsonl"), "a", encoding="utf-8") as book:
            book.write('{"author":".","text":"dot"}\n{"author":"","text":"nobody"}\n{"author":"Max"}\nnonsense\n')
        self.get("/", author="Emmy", text="Still here")
        status, page = self.get("/")
        self.assertEqual(status, 200)
        self.assertIn("Still here", page)
        self.assertNotIn("nobody", page)

    def test_an_unknown_author(self):
        self.assertEqual(self.get("/by/nobody")[0], 404)

    def test_the_style_sheet(self):
        self.assertIn("font", self.get("/style.css")[1])


if __name__ == "__main__":
    unittest.main()
