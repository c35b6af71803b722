"""What was sent and acknowledged, and whether what is read back agrees with it."""

import array
import threading

VALUE_BYTES = 100
_PADDING = b" a record of the client runs, padded with something that compresses well".ljust(VALUE_BYTES - 10, b".")


def value_of(number):
    """The value of a record: its number and padding."""
    return b"%010d" % number + _PADDING


class Ledger:
    """One run: `records` records, number n to partition n % partitions."""

    def __init__(self, records, partitions):
        self.records = records
        self.partitions = partitions
        self.offsets = array.array("q", [-1]) * records
        self.acked = 0
        self.errors = {}
        self.half = threading.Event()

    def partition_of(self, number):
        return number % self.partitions

    def acknowledge(self, number, partition, offset):
        """A client saw this record acknowledged, once. Called from one thread only."""
        assert partition == self.partition_of(number), "acknowledged for another partition"
        assert offset >= 0, "acknowledged without an offset"
        assert self.offsets[number] == -1, "acknowledged twice"
        self.offsets[number] = offset
        self.acked += 1
        if self.acked * 2 >= self.records:
            self.half.set()

    def refuse(self, error):
        """A client gave up on a record."""
        name = str(error)[:200]
        self.errors[name] = self.errors.get(name, 0) + 1


class Reading:
    """Checks records as they are read: without gaps in offsets, in the order they were sent, none twice."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.next_offset = [0] * ledger.partitions
        self.last_number = [-1] * ledger.partitions
        self.read = 0
        self.acked_read = 0

    def feed(self, partition, offset, value):
        if offset != self.next_offset[partition]:
            raise AssertionError(f"partition {partition}: offset {offset} after {self.next_offset[partition] - 1}")
        self.next_offset[partition] += 1
        number = int(value[:10])
        if value != value_of(number) or self.ledger.partition_of(number) != partition:
            raise AssertionError(f"partition {partition} offset {offset}: not a value that was sent there")
        if number <= self.last_number[partition]:
            raise AssertionError(
                f"partition {partition} offset {offset}: record {number} after {self.last_number[partition]}"
            )
        self.last_number[partition] = number
        self.read += 1
        if self.ledger.offsets[number] >= 0:
            if self.ledger.offsets[number] != offset:
                raise AssertionError(f"record {number} was acknowledged at another offset than {offset}")
            self.acked_read += 1

    def finish(self):
        lost = self.ledger.acked - self.acked_read
        if lost:
            raise AssertionError(f"{lost} of {self.ledger.acked} acknowledged records are lost")
