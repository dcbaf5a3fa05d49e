"""Uses the application as a browser would, without a server:

    python3 tests/test_application.py"""

import os
import sys
import tempfile
import unittest
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE / "lib" / "python"), str(HERE / "src")]


class Application(unittest.TestCase):
    def setUp(self):
        files = tempfile.TemporaryDirectory()
        self.addCleanup(files.cleanup)
        os.environ["CONFIG_FILES"] = files.name

    def ask(self, path, method="GET", **form):
        from runner import application

        said, body = {}, urlencode(form).encode()
        environ = {"SCRIPT_NAME": "", "PATH_INFO": path.encode().decode("latin-1"), "QUERY_STRING": "",
                   "REQUEST_METHOD": method, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body)),
                   "CONTENT_TYPE": "application/x-www-form-urlencoded"}
        setup_testing_defaults(environ)

        def start_response(status, headers, failure=None):
            said.update(status=int(status[:3]), headers=dict(headers))
            return lambda data: None

        answer = validator(application)(environ, start_response)
        try:
            page = b"".join(answer).decode()
        finally:
            answer.close()
        return said["status"], page, said["headers"]

    def test_signing(self):
        self.assertEqual(self.ask("/")[0], 200)
        status, _, headers = self.ask("/", "POST", author="Ad\u00e4", text="Is 1 < 2?")
        self.assertEqual((status, headers["Location"]), (303, "/"))
        self.assertIn("Is 1 &lt; 2?", self.ask("/")[1])
        self.assertIn("Is 1 &lt; 2?", self.ask("/by/Ad\u00e4")[1])

    def test_an_empty_form_is_shown_again(self):
        status, page, _ = self.ask("/", "POST", author="Grace", text="")
        self.assertEqual(status, 422)
        self.assertIn("Please give your name", page)
        self.assertIn('value="Grace"', page)

    def test_what_is_not_there(self):
        self.assertEqual(self.ask("/by/nobody")[0], 404)
        self.assertEqual(self.ask("/nowhere")[0], 404)
        self.assertEqual(self.ask("/by/nobody", "POST")[0], 405)


if __name__ == "__main__":
    unittest.main()
