"""Print the options a profile may set, per spawner: python -m hpc_gateway.traits.

The table is checked in, so that an inventory can be checked before anything is installed.
"""

import json
import sys

import traitlets
from traitlets.utils.importstring import import_item

from .spawners import ALIASES

# The first that fits; a trait of another kind is "any".
TYPES = (
    (traitlets.Bool, "bool"),
    (traitlets.Int, "int"),
    (traitlets.Float, "float"),
    (traitlets.Unicode, "str"),
    (traitlets.Dict, "dict"),
    (traitlets.List, "list"),
    (traitlets.Tuple, "list"),
    (traitlets.Set, "list"),
)


def type_name(trait):
    # The hub's own kinds of trait take more than the one they derive from: "4G" for a number.
    if not type(trait).__module__.startswith("traitlets."):
        return "any"
    return next((name for kind, name in TYPES if isinstance(trait, kind)), "any")


def first_line(text):
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def table():
    """alias -> trait -> what it holds, of all configurable traits."""
    return {
        alias: {
            name: {
                "type": type_name(trait),
                "allow_none": trait.allow_none,
                "help": first_line(trait.help),
            }
            for name, trait in sorted(import_item(path).class_traits(config=True).items())
        }
        for alias, path in ALIASES.items()
    }


def main():
    json.dump(table(), sys.stdout, indent=2, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
