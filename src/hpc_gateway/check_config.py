"""Check a jupyterhub_config.py without starting a hub: python -m hpc_gateway.check_config FILE.

The file is run as the hub would run it, so what it computes is computed. Nothing is written, and
neither a database nor secrets are needed. One line per fault on standard error; exit status 1.
"""

import argparse
import difflib
import re
import sys
import sysconfig
import traceback
from pathlib import Path

import jupyterhub.app
from jupyterhub.spawner import Spawner
from jupyterhub.traitlets import EntryPointType
from traitlets import HasTraits, TraitError
from traitlets.config import Configurable
from traitlets.config.loader import LazyConfigValue, PyFileConfigLoader
from traitlets.utils.importstring import import_item

from . import app, authenticator, profiles, spawners
from .fields import bounds

# Loaded so that their classes are known below, whether or not the configuration names them.
KNOWN_MODULES = (app, authenticator, jupyterhub.app, profiles, spawners)

PROFILES = "GatewayProfilesSpawner"
LIBRARIES = (
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    str(Path(__file__).parent),
)
SECRET = re.compile(r"secret|token|password|key|services|environment", re.IGNORECASE)


def suggestion(name, names):
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?" if close else ""


def load(path):
    """Run the file and what it loads; return its configuration, or the text of its error."""
    path = Path(path).resolve()
    try:
        return PyFileConfigLoader(path.name, str(path.parent)).load_config(), None
    except SyntaxError as error:
        return None, f"{error.filename}:{error.lineno}: {error.msg}"
    except (Exception, SystemExit) as error:
        # The line of the configuration that was running, rather than that of a library.
        own = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith(("<", *LIBRARIES))
        ]
        where = f"{own[-1].filename}:{own[-1].lineno}" if own else str(path)
        return None, f"{where}: {type(error).__name__}: {error}"


def configurables():
    """Every configurable class that is loaded, by the name of its section."""
    found = {}
    queue = [Configurable]
    for cls in queue:
        classes = found.setdefault(cls.__name__, [])
        if cls not in classes:
            classes.append(cls)
            queue.extend(cls.__subclasses__())
    return found


def import_class(name, base):
    """The class of that name, and None; or None, and what is wrong with it."""
    try:
        cls = import_item(name) if isinstance(name, str) else name
    except Exception as error:
        return None, f"{name} cannot be imported: {error}"
    if not (isinstance(cls, type) and issubclass(cls, base)):
        return None, f"{name} is no {base.__name__}"
    return cls, None


def check_value(trait, name, value):
    """What is wrong with a value for a trait, or None."""
    if isinstance(trait, EntryPointType) and isinstance(value, str):
        short_names = trait.load_entry_points()
        return None if value in short_names else import_class(value, trait.klass)[1]
    probe = HasTraits()
    # Rules that compare several values need a whole object, which only the running hub has.
    probe._cross_validation_lock = True
    try:
        trait._validate(probe, value)
    except TraitError:
        text = f"{value!r:.80}" if not SECRET.search(name) else "a value"
        return f"must be {trait.info()}, not {text} ({type(value).__name__})"
    return None


def check_section(section, values, known):
    """Faults of what the configuration sets for one class."""
    if section not in known:
        yield f"c.{section}: the hub has no such class{suggestion(section, known)}"
        return
    traits = {}
    for cls in known[section]:
        traits |= cls.class_traits(config=True)
    for name, value in values.items():
        if name not in traits:
            yield f"c.{section}.{name}: there is no such setting{suggestion(name, traits)}"
        elif not isinstance(value, LazyConfigValue):
            # The profiles have a check of their own, which says which one is wrong.
            profiles_list = section == PROFILES and name == "profiles"
            problem = None if profiles_list else check_value(traits[name], name, value)
            if problem:
                yield f"c.{section}.{name}: {problem}"


def check_profile(profile):
    """Faults of one profile, which is told apart by its key."""
    if not (isinstance(profile, (tuple, list)) and len(profile) == 4):
        yield f"profile {profile!r:.80}: must be (name, key, class, options)"
        return
    display, key, name, options = profile
    label = f"profile {key!r}"
    if not (isinstance(display, str) and isinstance(key, str) and isinstance(options, dict)):
        yield f"{label}: name and key must be text, the options a dict"
        return
    cls, problem = import_class(name, Spawner)
    if problem:
        yield f"{label}: {problem}"
        return
    traits = cls.class_traits(config=True)
    for option, value in options.items():
        if option not in traits:
            yield f"{label}: {cls.__name__} has no option {option}{suggestion(option, traits)}"
        else:
            problem = check_value(traits[option], option, value)
            if problem:
                yield f"{label}: option {option} {problem}"


def check_fields(profile, chosen):
    """Faults of what a user may choose within a profile."""
    _, key, name, _ = profile
    cls, _ = import_class(name, Spawner)
    for field, spec in chosen.items():
        try:
            trait = bounds(field, spec).field.trait
        except ValueError as error:
            yield f"profile {key!r}: {error}"
        else:
            # A class that cannot be imported is a fault already told.
            if cls and trait not in cls.class_traits(config=True):
                yield f"profile {key!r}: {cls.__name__} has no option {trait}, which {field} sets"


def check_profiles(section):
    """Faults of the list of profiles as a whole."""
    entries = section.get("profiles", [])
    if not isinstance(entries, (tuple, list)):
        yield f"c.{PROFILES}.profiles: must be a list"
        return
    for profile in entries:
        yield from check_profile(profile)
    keys = [str(entry[1]) for entry in entries if isinstance(entry, (tuple, list)) and entry[1:]]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"profile {key!r}: the key is used {keys.count(key)} times"
    named = {"default_profile": [section.get("default_profile", "")]}
    for trait in ("profile_groups", "profile_categories", "profile_fields"):
        named[trait] = section.get(trait, {}) if isinstance(section.get(trait), dict) else {}
    for profile in entries:
        if isinstance(profile, (tuple, list)) and len(profile) == 4:
            chosen = named["profile_fields"].get(str(profile[1]), {})
            yield from check_fields(profile, chosen if isinstance(chosen, dict) else {})
    for trait, wanted in named.items():
        for key in wanted:
            if key and key not in keys:
                yield f"c.{PROFILES}.{trait}: no profile has the key {key!r}"


def load_classes(config):
    """Load the classes the configuration names, since settings of theirs may stand in it too."""
    hub = config.get("JupyterHub", {})
    names = [hub.get(f"{kind}_class") for kind in ("authenticator", "proxy", "spawner")]
    entries = config.get(PROFILES, {}).get("profiles", [])
    names += [entry[2] for entry in entries if isinstance(entry, (tuple, list)) and entry[2:]]
    for name in names:
        import_class(name, object)


def check(config):
    """All faults of a loaded configuration."""
    load_classes(config)
    known = configurables()
    for section, values in config.items():
        if isinstance(values, dict):
            yield from check_section(section, values, known)
    yield from check_profiles(config.get(PROFILES, {}))


def main(argv=None):
    parser = argparse.ArgumentParser(prog="hpc_gateway.check_config", description=__doc__)
    parser.add_argument("file", help="a jupyterhub_config.py")
    path = parser.parse_args(argv).file
    sys.dont_write_bytecode = True
    config, error = load(path)
    faults = [error] if error else [f"{path}: {fault}" for fault in check(config)]
    for fault in faults:
        print(" ".join(fault.split()), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
