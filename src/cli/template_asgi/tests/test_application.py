"""Talks with the application as a server would:

    python3 tests/test_application.py"""

import asyncio
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE / "lib" / "python"), str(HERE / "src")]

from runner import application  # noqa: E402


class Client:
    """One connection."""

    def __init__(self, kind, path="/"):
        self.events, self.answers = asyncio.Queue(), asyncio.Queue()
        self.task = asyncio.create_task(application({"type": kind, "path": path}, self.events.get, self.answers.put))

    async def talk(self, event):
        await self.events.put(event)

    async def answer(self):
        return await asyncio.wait_for(self.answers.get(), 10)


class Application(unittest.IsolatedAsyncioTestCase):
    async def test_the_page(self):
        client = Client("http")
        self.assertEqual((await client.answer())["status"], 200)
        self.assertIn(b"<form>", (await client.answer())["body"])
        self.assertEqual((await Client("http", "/nowhere").answer())["status"], 404)

    async def test_talking(self):
        one, two = Client("websocket", "/talk"), Client("websocket", "/talk")
        for client in one, two:
            await client.talk({"type": "websocket.connect"})
            self.assertEqual((await client.answer())["type"], "websocket.accept")
        await one.talk({"type": "websocket.receive", "text": "Hello"})
        for client in one, two:
            self.assertEqual((await client.answer())["text"], "Hello")
            await client.talk({"type": "websocket.disconnect", "code": 1000})
            await client.task


if __name__ == "__main__":
    unittest.main()
