"""The list of profiles a user chooses from when starting a server."""

import re

from traitlets import Dict, List, TraitError, Unicode, default, validate
from traitlets.utils.importstring import import_item
from wrapspawner import ProfilesSpawner, WrapSpawner

from . import port_callback
from .availability import availability
from .errors import SpawnRefused
from .fields import FIELDS, bounds, count_words

port_callback.register()

# These rule the spawner that the hub sees, which wraps the profile's: handed on to it.
WRAPPER_OPTIONS = ("start_timeout", "http_timeout", "poll_interval")

# One of the hub's pages, as far as its template paths go: a site may put its own in its place.
FORM = "options_form.html"

GRES = re.compile(r"(?:gres[:/])?gpu(?::([A-Za-z][\w.-]*))?(?:[:=]([0-9]+))?")


def option_text(options, *names):
    """The first of these options that says something."""
    texts = (str(options[name]) for name in names if isinstance(options.get(name), (str, int)))
    return next((text for text in texts if text.strip()), "")


def amount_words(name, text):
    """What a profile's option asks for: in plain words, or as it stands where it is not plain."""
    field = FIELDS[name]
    try:
        return field.words(field.read(text))
    except ValueError:
        return f"{field.label.lower()} {text}"


def gpu_words(options):
    gres, number = option_text(options, "req_gres"), option_text(options, "req_ngpus")
    match = GRES.fullmatch(gres or f"gpu:{number or 0}")
    if not match:
        return gres or f"GPUs {number}"
    count = int(match[2] or 1)
    words = count_words(count, "GPU") if count else ""
    return f"{words} ({match[1]})" if words and match[1] else words


def queue_of(options):
    return option_text(options, "req_partition", "req_queue")


class GatewayProfilesSpawner(ProfilesSpawner):
    """A user gets one of the profiles, as it stands, or a refusal."""

    profile_groups = Dict(
        value_trait=List(Unicode()),
        key_trait=Unicode(),
        config=True,
        help="Key of a profile -> the groups which see it. A profile not named here is for all.",
    )

    profile_categories = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        config=True,
        help="Key of a profile -> the heading in the form under which it stands.",
    )

    profile_fields = Dict(
        value_trait=Dict(),
        key_trait=Unicode(),
        config=True,
        help="""Key of a profile -> what a user may choose within it:
        {"cores" or "memory" or "walltime": {"min": …, "default": …, "max": …}}.""",
    )

    default_profile = Unicode(config=True, help="Key of the profile which is selected at first.")

    # What the form said last, to be shown again should it be refused.
    asked = Dict()

    @validate("profiles")
    def _unique_keys(self, proposal):
        keys = [key for _, key, _, _ in proposal.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise TraitError(f"Profiles share the key {', '.join(twice)}")
        return proposal.value

    @validate("profile_fields")
    def _sound_fields(self, proposal):
        for key, fields in proposal.value.items():
            for name, spec in fields.items():
                try:
                    bounds(name, spec)
                except ValueError as error:
                    raise TraitError(f"Profile {key!r}: {error}") from None
        return proposal.value

    @default("apply_user_options")
    def _apply_user_options_default(self):
        # start() reads them; without this the hub warns of unhandled options at every start.
        return lambda spawner, options: None

    @default("db")
    def _db_default(self):
        # The hub's own default warns that this is deprecated, and wrapspawner reads it at every
        # start.
        return self._deprecated_db_session

    def visible_profiles(self):
        """The profiles of this user, by key."""
        groups = {group.name for group in self.user.groups}
        return {
            profile[1]: profile
            for profile in self.profiles
            if profile[1] not in self.profile_groups
            or groups.intersection(self.profile_groups[profile[1]])
        }

    def bounds_of(self, key):
        """What may be chosen within a profile, by name of the field."""
        return {name: bounds(name, spec) for name, spec in self.profile_fields.get(key, {}).items()}

    def requested(self, options):
        """The profile that is asked for, and the spawner's options by what was chosen within it.

        Asked by form, link or API; nothing passes but a visible profile and values within bounds.
        """
        visible = self.visible_profiles()
        key = options.get("profile", self.preselected(visible))
        # A key which is not text, such as a list, cannot be looked up.
        if not isinstance(key, str) or key not in visible:
            raise SpawnRefused(
                f"There is no profile {str(key)[:64]!r} for you; the profiles are: "
                f"{', '.join(visible) or 'none'}",
                reason="profile",
            )
        allowed = self.bounds_of(key)
        unknown = sorted(set(options) - {"profile", *allowed})
        if unknown:
            raise SpawnRefused(
                f"These options cannot be set here: {', '.join(unknown)[:200]}",
                reason="user_options",
            )
        scheduler = getattr(visible[key][2], "scheduler", "")
        try:
            chosen = [
                bound.option(bound.value(options.get(name, bound.texts["default"])), scheduler)
                for name, bound in allowed.items()
            ]
        except ValueError as error:
            raise SpawnRefused(str(error), reason="user_options") from None
        return key, dict(chosen)

    def preselected(self, visible):
        return self.default_profile if self.default_profile in visible else next(iter(visible), "")

    # The form

    def _options_form_default(self):
        # For the hub's pages, which ask whether there is a form: get_options_form makes it.
        return FORM

    async def get_options_form(self):
        # Made anew, since the user's groups and the batch system's state change.
        template = self.user.settings["jinja2_env"].get_template(FORM)
        return await template.render_async(groups=self.form_groups(), spawner=self, user=self.user)

    def form_groups(self):
        """What the form shows: groups with a heading, first the profiles without one."""
        visible = self.visible_profiles()
        # What was refused a moment ago, or else the user's last server.
        last = self.asked or self.user_options
        selected = last.get("profile")
        if not isinstance(selected, str) or selected not in visible:
            selected = self.preselected(visible)
        free = self.availability(visible)
        groups = {"": []}
        for key, (name, _, _, options) in visible.items():
            heading = self.profile_categories.get(key, "")
            remembered = last if key == selected else {}
            groups.setdefault(heading, []).append(
                {
                    "key": key,
                    "name": name,
                    "selected": key == selected,
                    "asks": self.asks(key, options),
                    "availability": free.get(key),
                    "fields": [
                        self.form_field(bound, remembered.get(bound.field.name))
                        for bound in self.bounds_of(key).values()
                    ],
                }
            )
        return [
            {"heading": heading, "profiles": profiles}
            for heading, profiles in groups.items()
            if profiles
        ]

    def asks(self, key, options):
        """What a profile asks the batch system for, in words."""
        words = {
            name: amount_words(name, text)
            for name, field in FIELDS.items()
            if (text := option_text(options, field.trait))
        }
        words |= {name: bound.span() for name, bound in self.bounds_of(key).items()}
        queue = queue_of(options)
        found = [words.get("cores"), words.get("memory"), gpu_words(options), words.get("walltime")]
        return [text for text in (*found, queue and f"queue {queue}") if text]

    def form_field(self, bound, last):
        value = bound.texts["default"]
        if last is not None:
            try:
                bound.value(last)
                value = last
            except ValueError:
                # What was just typed is shown again; an old value has been overtaken by the site.
                value = last if self.asked else value
        field = bound.field
        return {
            "name": field.name,
            "label": field.label,
            "value": str(value),
            "span": bound.span(),
            "hint": field.hint,
            "pattern": field.pattern,
            "min": bound.low,
            "max": bound.high,
        }

    def availability(self, visible):
        """How soon each profile would start now, by key; nothing for those without a scheduler."""
        from .jobs import tables

        found = {}
        for key, (_, _, cls, options) in visible.items():
            cluster = options.get("cluster") or getattr(cls, "scheduler", "local")
            if cluster == "local":
                continue
            tables.refresh_soon(cluster)
            cores = self.bounds_of(key).get("cores")
            text = option_text(options, "req_nprocs")
            found[key] = availability(
                tables.peek(cluster),
                queue_of(options),
                cores.default if cores else int(text) if text.isdecimal() else 1,
                only_cores=not gpu_words(options),
            )
        return found

    def options_from_form(self, formdata):
        """The options, of each profile's fields those of the chosen one; or a refusal."""
        keys = formdata.get("profile", [])
        if len(keys) != 1:
            raise SpawnRefused("Select one profile", reason="profile")
        options = {"profile": keys[0]}
        for name in FIELDS:
            # The form has fields of every profile; a link names those of its own without a key.
            values = formdata.get(f"{name}:{keys[0]}") or formdata.get(name, [])
            if len(values) > 1:
                raise SpawnRefused(f"Give {name} once", reason="user_options")
            if values and values[0].strip():
                options[name] = values[0].strip()
        self.asked = options
        self.requested(options)
        return options

    def options_from_query(self, query):
        """The options of a link such as hub/spawn?profile=KEY&cores=4."""
        unknown = sorted(set(query) - {"profile", *FIELDS})
        if unknown:
            raise SpawnRefused(
                f"A link cannot set {', '.join(unknown)[:200]}", reason="user_options"
            )
        return self.options_from_form(query)

    # The wrapped spawner

    def select_profile(self, profile):
        """Take over the class and the options of a profile that exists."""
        _, self.child_profile, self.child_class, options = next(
            entry for entry in self.profiles if entry[1] == profile
        )
        # A copy: the hub may change this one, and the profile belongs to every user.
        self.child_config = dict(options)
        if "environment" in options:
            # Added to what holds for all servers rather than in its place.
            self.child_config["environment"] = {**self.environment, **options["environment"]}

    # ProfilesSpawner's would select again, and leave the local spawner in place for a key which it
    # does not know.
    construct_child = WrapSpawner.construct_child

    def start(self):
        # Checked here as well: the API hands its options on unseen.
        key, chosen = self.requested(self.user_options)
        self.asked = {}
        self.select_profile(key)
        self.child_config.update(chosen)
        for name in WRAPPER_OPTIONS:
            if name in self.child_config:
                setattr(self, name, self.child_config[name])
        return super().start()

    @property
    def progress(self):
        # Asked for before a child exists, for example after a refusal.
        spawner = self.child_spawner or super(WrapSpawner, self)
        return spawner.progress

    # The state of running servers

    def get_state(self):
        state = super().get_state()
        state["child_class"] = f"{self.child_class.__module__}.{self.child_class.__qualname__}"
        return state

    def load_child_class(self, state):
        self.child_profile = state.get("profile", "")
        if any(entry[1] == self.child_profile for entry in self.profiles):
            self.select_profile(self.child_profile)
        else:
            # The profile is gone from the configuration, but its server may still run.
            self.child_class = import_item(state["child_class"])

    def load_state(self, state):
        # A server which never ran has no state. A state that cannot be read means a server
        # which the hub can no longer manage, and must not keep the hub from starting.
        if not state.get("profile"):
            return
        try:
            super().load_state(state)
        except Exception:
            self.log.exception("The state of %s cannot be read", self._log_name)
            self.child_spawner = None
            self.child_config = {}
