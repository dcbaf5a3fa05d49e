"""Counts the words of what is posted. The counting is Python's, the scanning is C's."""

import collections
import json

from scanning import Scanner, Stop


class Counter(Scanner):
    def __init__(self, most):
        self.most, self.words, self.sum = most, collections.Counter(), 0

    def on_word(self, word, line):
        self.words[word.lower()] += 1
        if len(self.words) == self.most:
            raise Stop  # enough

    def on_number(self, number, line):
        self.sum += number


def application(environ, start_response):
    counter = Counter(most=1000)
    whole = counter.scan(environ["wsgi.input"].read())
    answer = {"words": dict(counter.words.most_common(3)), "sum": counter.sum, "whole": whole}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
