#!/usr/bin/python
"""Write several files in one go: what `template` does, at the price of one module for all."""

from __future__ import annotations

import os
import shlex

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.converters import to_bytes, to_text

DOCUMENTATION = """
module: write_files
short_description: Write files whose content differs
description:
  - Each unchanged file of M(ansible.builtin.template) costs two modules, about half a second; all
    files of this task cost one.
  - Every file is checked before the first one is replaced, each by a rename.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      dest: {description: Absolute path; its directory exists., type: path, required: true}
      content: {description: What it shall contain., type: str, required: true}
      owner: {description: Its owner., type: str, default: root}
      group: {description: Its group., type: str, default: root}
      mode: {description: Its mode., type: str, default: "0644"}
      validate: {description: Command that checks a copy named by C(%s)., type: str}
  purge:
    description: Directories in which no other file stays, such as one that was written earlier.
    type: list
    elements: path
    default: []
author: JupyterHub HPC Gateway
"""

EXAMPLES = """
- name: Write two files
  write_files:
    files:
      - dest: /etc/one.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/one.conf.j2') }}"
      - {dest: /etc/two.conf, content: "two\\n", mode: "0600"}
"""

RETURN = """
written:
  description: The files that differed, in content, owner or mode, and those removed.
  type: list
  elements: str
  returned: always
"""

FILE = {
    "dest": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str"},
}


def read(path):
    """Return what a file contains, None if there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def stage(module, wanted):
    """Put the new content into a temporary file and have it checked."""
    # Not the last part of the name alone: two files may share it.
    path = os.path.join(module.tmpdir, wanted["dest"].replace("/", "_"))
    with open(path, "wb") as file:
        file.write(to_bytes(wanted["content"]))
    if wanted["validate"]:
        code, output, error = module.run_command(
            shlex.split(wanted["validate"].replace("%s", path))
        )
        if code != 0:
            problem = (error or output).strip()
            module.fail_json(
                msg=f"{wanted['dest']} is not replaced, for the new one is wrong: {problem}"
            )
    return path


def others(directories, wanted):
    """Return the files in these directories that are not wanted there."""
    found = []
    for directory in filter(os.path.isdir, directories):
        paths = [os.path.join(directory, name) for name in os.listdir(directory)]
        found += [path for path in paths if path not in wanted and not os.path.isdir(path)]
    return sorted(found)


def main():
    """Compare, check, replace."""
    options = {
        "files": {"type": "list", "elements": "dict", "options": FILE, "required": True},
        "purge": {"type": "list", "elements": "path", "default": []},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    staged, diffs, written = {}, [], []
    for wanted in module.params["files"]:
        name = wanted["dest"]
        before = read(name)
        if before != to_bytes(wanted["content"]):
            # In check mode what would check it may be missing still, and nothing is replaced.
            staged[name] = None if module.check_mode else stage(module, wanted)
            texts = {"before": to_text(before or b""), "after": wanted["content"]}
            diffs.append({"before_header": name, "after_header": name, **texts})
    for wanted in module.params["files"]:
        name = wanted["dest"]
        changed = name in staged
        if staged.get(name):
            module.atomic_move(staged[name], name)
        if os.path.exists(name):
            attributes = {key: wanted[key] for key in ("owner", "group", "mode")}
            attributes = module.load_file_common_arguments({**attributes, "path": name})
            changed = module.set_fs_attributes_if_different(attributes, changed)
        if changed:
            written.append(name)
    wanted_names = {wanted["dest"] for wanted in module.params["files"]}
    for name in others(module.params["purge"], wanted_names):
        diffs.append({"before_header": name, "before": to_text(read(name) or b""), "after": ""})
        if not module.check_mode:
            os.unlink(name)
        written.append(name)
    module.exit_json(changed=bool(written), written=written, diff=diffs)


if __name__ == "__main__":
    main()
