"""Check that a page or a job script is a template: python -m hpc_gateway.check_template FILE.

Nothing is rendered: what a template is given, only the hub knows. Apart from check_config, since
that loads the whole hub, and there are several templates.
"""

import sys
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError


def main(argv=None):
    (path,) = sys.argv[1:] if argv is None else argv
    try:
        # Only looked at, never rendered.
        Environment().parse(Path(path).read_text())  # noqa: S701
    except TemplateSyntaxError as error:
        print(f"line {error.lineno}: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
