"""The list of profiles a user chooses from when starting a server."""

from html import escape

from traitlets import Dict, List, TraitError, Unicode, default, validate
from traitlets.utils.importstring import import_item
from wrapspawner import ProfilesSpawner, WrapSpawner

from . import port_callback
from .errors import SpawnRefused

port_callback.register()

# These rule the spawner that the hub sees, which wraps the profile's: handed on to it.
WRAPPER_OPTIONS = ("start_timeout", "http_timeout", "poll_interval")

FORM = """<div class="mb-3">
  <label class="form-label" for="profile">Select a profile</label>
  <select class="form-select" id="profile" name="profile" required autofocus>
{options}
  </select>
</div>"""


class GatewayProfilesSpawner(ProfilesSpawner):
    """A user gets one of the profiles, as it stands, or a refusal."""

    profile_groups = Dict(
        value_trait=List(Unicode()),
        key_trait=Unicode(),
        config=True,
        help="Key of a profile -> the groups which see it. A profile not named here is for all.",
    )

    default_profile = Unicode(config=True, help="Key of the profile which is selected at first.")

    @validate("profiles")
    def _unique_keys(self, proposal):
        keys = [key for _, key, _, _ in proposal.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise TraitError(f"Profiles share the key {', '.join(twice)}")
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

    def requested_profile(self):
        """The key the user asks for, by form or API; nothing but a visible profile passes."""
        visible = self.visible_profiles()
        unknown = sorted(set(self.user_options) - {"profile"})
        if unknown:
            raise SpawnRefused(
                f"These options cannot be set here: {', '.join(unknown)[:200]}",
                reason="user_options",
            )
        key = self.user_options.get("profile", self.preselected(visible))
        # A key which is not text, such as a list, cannot be looked up.
        if not isinstance(key, str) or key not in visible:
            raise SpawnRefused(
                f"There is no profile {str(key)[:64]!r} for you; the profiles are: "
                f"{', '.join(visible) or 'none'}",
                reason="profile",
            )
        return key

    def preselected(self, visible):
        return self.default_profile if self.default_profile in visible else next(iter(visible), "")

    # The form

    def _options_form_default(self):
        visible = self.visible_profiles()
        if not visible:
            return '<p class="alert alert-warning">There is no profile for your account.</p>'
        first = self.preselected(visible)
        options = "\n".join(
            f'    <option value="{escape(key)}"{" selected" if key == first else ""}>'
            f"{escape(profile[0])}</option>"
            for key, profile in visible.items()
        )
        return FORM.format(options=options)

    async def get_options_form(self):
        # Made anew, since the user's groups may have changed.
        return self._options_form_default()

    def options_from_form(self, formdata):
        values = formdata.get("profile", [])
        if len(values) != 1:
            raise SpawnRefused("Select one profile", reason="profile")
        return {"profile": values[0]}

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
        self.select_profile(self.requested_profile())
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
