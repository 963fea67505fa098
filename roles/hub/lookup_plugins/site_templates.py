"""The templates that the hub itself renders, each from the first place that has it."""

from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: site_templates
short_description: Find templates of the hub, a site's own before ours
description:
  - Returns files for M(write_files). Their text is the hub's to render, and stays as it is.
options:
  _terms:
    description:
      - Directories, the first one wins. One that does not exist has no templates.
      - Looked for are C(hub/*.html) and C(batch/*.sh) below each.
    required: true
  target:
    description: Directory on the machine.
    required: true
  validate:
    description: Command that checks a copy named by C(%s).
    required: true
author: JupyterHub HPC Gateway
"""

PATTERNS = ("batch/*.sh", "hub/*.html")


class LookupModule(LookupBase):
    """What Ansible looks for in this file."""

    def run(self, terms, variables=None, **kwargs):
        """Return the files, by name."""
        found = {}
        for directory in map(Path, terms):
            for path in (path for pattern in PATTERNS for path in directory.glob(pattern)):
                found.setdefault(f"{path.parent.name}/{path.name}", path)
        return [
            {
                "dest": f"{kwargs['target']}/{name}",
                "content": self.read(path),
                "validate": kwargs["validate"],
            }
            for name, path in sorted(found.items())
        ]

    @staticmethod
    def read(path):
        """Return the text of a file."""
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise AnsibleLookupError(f"{path} cannot be read as text: {error}") from error
