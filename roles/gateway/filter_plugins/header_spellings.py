"""Filter for the gateway's templates."""

import itertools
import re


def header_spellings(name):
    """Return every spelling of an HTTP header name that programs take for the same.

    That is ``-`` and ``_`` in every mixture. Case is not varied: Apache does not see it.
    """
    words = re.split("[-_]", name)
    return [
        words[0] + "".join(itertools.chain(*zip(separators, words[1:], strict=True)))
        for separators in itertools.product("-_", repeat=len(words) - 1)
    ]


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self):
        """Return the filters by name."""
        return {"header_spellings": header_spellings}
