# What tests of the spawners add to the hub's configuration: a way to ask it, and a quicker pace.
c = get_config()  # noqa: F821
c.JupyterHub.services.append(
    {"name": "tests", "api_token": "only-for-tests-0123456789abcdef", "admin": False}
)
c.JupyterHub.load_roles.append(
    {
        "name": "tests",
        "scopes": ["admin:users", "admin:servers", "admin:server_state", "servers", "list:users"],
        "services": ["tests"],
    }
)
c.JupyterHub.allow_named_servers = True
c.Spawner.poll_interval = 3
c.GatewayHub.sweep_interval = 5
