"""Small file systems of their own for nodes' data, which can be filled."""

import os
import subprocess


class Disks:
    """An image for each node, mounted where its data directory is."""

    def __init__(self, folder, numbers, megabytes=1024):
        self.folders = {number: folder / f"node-{number}" for number in numbers}
        for number, place in self.folders.items():
            image = folder / f"disk-{number}"
            place.mkdir()
            with open(image, "wb") as file:
                file.truncate(megabytes << 20)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
            subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)

    def _filling(self, number):
        return self.folders[number] / "filling"

    def fill(self, number):
        """Takes all that is free."""
        with open(self._filling(number), "ab") as file:
            step, end = 64 << 20, 0
            while step >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), end, step)
                    end += step
                except OSError:
                    step //= 2

    def free(self, number):
        self._filling(number).unlink(missing_ok=True)

    def take_down(self):
        for place in self.folders.values():
            subprocess.run(["umount", str(place)], check=False)
