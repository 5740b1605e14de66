"""What the oddities use: the test's words, by name, and what they did."""

import asyncio
from collections import defaultdict


class Words:
    """Events between a test and an action under way; `sent` counts effects by effect key, `asked` questions."""

    def __init__(self) -> None:
        self.reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.go: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.sent: defaultdict[str, int] = defaultdict(int)
        self.asked: defaultdict[str, int] = defaultdict(int)
