"""Filters for jupyterhub_config.py: a template prints, Python writes Python."""

import pprint


def python_literal(value, indent=0):
    """Return the value as Python source, continued lines indented by ``indent`` columns."""
    text = pprint.pformat(_plain(value), width=100 - indent, sort_dicts=False)
    return text.replace("\n", "\n" + " " * indent)


def _plain(value):
    """Return the value in plain types: the repr() of Ansible's own ones is not Python."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self):
        """Return the filters by name."""
        return {"python_literal": python_literal}
