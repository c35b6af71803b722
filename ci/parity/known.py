"""Differences that are meant, each with its reason; docs/PROTOCOL.md tells users of the ones they could notice."""
import fnmatch

KNOWN = [
    # Place (its brackets are themselves), reason.
]


def reason(place, here, there):
    """Why an answer differs, if it is meant to."""
    if place.endswith("ErrorMessage") and there == "None" and here not in ("None", "nothing"):
        return "a text where Apache Kafka sends none"
    for pattern, why in KNOWN:
        if fnmatch.fnmatchcase(place, pattern.replace("[", "[[]")):
            return why
    return None
