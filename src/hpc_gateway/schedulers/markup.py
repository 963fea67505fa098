"""Reading XML that a scheduler's command prints."""

import re
import xml.etree.ElementTree as ET

# What XML does not allow and commands print all the same, in the values of variables for instance.
CONTROLS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def document(text, root):
    """The root element, which must have this name; ValueError for anything else."""
    try:
        # Of a program of the administrator's, and limits on entities are those of expat.
        element = ET.fromstring(CONTROLS.sub("", text).strip())  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(f"the XML is not whole: {error}: {text[-100:]!r}") from None
    if element.tag != root:
        raise ValueError(f"the XML is a {element.tag}, not a {root}")
    return element
