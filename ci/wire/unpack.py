"""Unpacks the message schemas of a kafka-clients jar. usage: unpack.py JAR OUTPUT_DIR"""
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as jar:
    for name in jar.namelist():
        if name.startswith("common/message/") and name.endswith(".json"):
            jar.extract(name, sys.argv[2])
