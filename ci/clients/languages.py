"""Members of groups in languages other than Python. Each is made once, from its folder here, where its toolchain is;
they print and end as member.py tells."""

import functools
import os
import pathlib
import shutil
import subprocess

from broker import ROOT

HERE = pathlib.Path(__file__).resolve().parent
FETCHED = ROOT / "target" / "clients"


@functools.cache
def _go():
    binary = FETCHED / "go" / "members"
    subprocess.run(["go", "build", "-o", binary, "."], cwd=HERE / "go", check=True)
    return [str(binary)]


@functools.cache
def _node():
    folder = FETCHED / "members-node"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "node" / "package.json", folder)
    install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(install, cwd=folder, check=True)
    return ["node", str(HERE / "node" / "member.js"), str(folder)]


@functools.cache
def _java():
    jars, classes = FETCHED / "java" / "tools", FETCHED / "java" / "member"
    subprocess.run([ROOT / "ci" / "kafka", "jars", "tools"], check=True)
    source = HERE / "java" / "member" / "Member.java"
    subprocess.run(["javac", "-d", classes, "-cp", f"{jars}/*", source], check=True)
    small = ["-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return ["java", *small, "-cp", os.pathsep.join([f"{jars}/*", str(classes)]), "Member"]


# The command of each client, to which ADDRESS TOPIC GROUP are added.
COMMANDS = {
    "java": lambda: [*_java(), "classic"],
    "java-848": lambda: [*_java(), "consumer"],
    "franz-go": lambda: [*_go(), "franz-go"],
    "franz-go-848": lambda: [*_go(), "franz-go-848"],
    "sarama": lambda: [*_go(), "sarama"],
    "kafkajs": _node,
}
