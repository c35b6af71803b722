"""Unpacks the message schemas of one of Kafka's jars. usage: unpack.py JAR OUTPUT_DIR

Records of share and streams groups are left out: nothing here keeps such groups.
"""
import sys
import zipfile

jar_is_of_groups = "group-coordinator" in sys.argv[1]
with zipfile.ZipFile(sys.argv[1]) as jar:
    for name in jar.namelist():
        unkept = jar_is_of_groups and name.startswith(("common/message/Share", "common/message/Streams"))
        if name.startswith("common/message/") and name.endswith(".json") and not unkept:
            jar.extract(name, sys.argv[2])
