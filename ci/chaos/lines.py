"""Nodes in network namespaces of their own, on one bridge; lines between them can be cut in one direction or both,
and slowed down."""

import subprocess

NAME = "ringlog"
NET = "10.77.0"


def ip(*words, check=True):
    subprocess.run(["ip", *words], check=check, capture_output=not check)


class Lines:
    """A bridge with a namespace for each node. Clients stay outside and reach all of them."""

    def __init__(self, numbers):
        self.numbers = list(numbers)
        self.cuts, self.slowed = set(), set()
        self.take_down()
        ip("link", "add", f"{NAME}-br", "type", "bridge")
        ip("addr", "add", f"{NET}.254/24", "dev", f"{NAME}-br")
        ip("link", "set", f"{NAME}-br", "up")
        for number in self.numbers:
            space, outside, inside = f"{NAME}-{number}", f"{NAME}-o{number}", f"{NAME}-i{number}"
            ip("netns", "add", space)
            ip("link", "add", outside, "type", "veth", "peer", "name", inside)
            ip("link", "set", inside, "netns", space)
            ip("link", "set", outside, "master", f"{NAME}-br", "up")
            ip("-n", space, "addr", "add", f"{self.host(number)}/24", "dev", inside)
            ip("-n", space, "link", "set", inside, "up")
            ip("-n", space, "link", "set", "lo", "up")

    @staticmethod
    def host(number):
        return f"{NET}.{number}"

    def place(self, number):
        """Where a node is: its address, and what runs a command there."""
        return self.host(number), ("ip", "netns", "exec", f"{NAME}-{number}")

    def slow(self, number, rate="4mbit"):
        """Nothing reaches a node faster than this."""
        line = ["dev", f"{NAME}-o{number}", "root", "tbf", "rate", rate, "burst", "16kb", "latency", "200ms"]
        subprocess.run(["tc", "qdisc", "add", *line], check=True)
        self.slowed.add(number)

    def cut(self, sender, receiver):
        """What one node sends to another gets lost."""
        ip("-n", f"{NAME}-{sender}", "route", "add", "blackhole", f"{self.host(receiver)}/32")
        self.cuts.add((sender, receiver))

    def heal(self):
        for sender, receiver in self.cuts:
            ip("-n", f"{NAME}-{sender}", "route", "del", "blackhole", f"{self.host(receiver)}/32")
        self.cuts.clear()
        for number in self.slowed:
            subprocess.run(["tc", "qdisc", "del", "dev", f"{NAME}-o{number}", "root"], check=True)
        self.slowed.clear()

    def take_down(self):
        for number in self.numbers:
            ip("link", "del", f"{NAME}-o{number}", check=False)
            ip("netns", "del", f"{NAME}-{number}", check=False)
        ip("link", "del", f"{NAME}-br", check=False)
