"""The service `words`: each public function is a method."""

import collections

version = 1


def count(text, most=10):
    """How many words a text has, and which come most often."""
    words = collections.Counter(text.lower().split())
    return {"total": sum(words.values()), "most": words.most_common(most)}


count.idempotent = True
