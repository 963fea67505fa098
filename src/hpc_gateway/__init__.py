"""What runs inside the hub: single sign-on, batch spawners, profiles."""
