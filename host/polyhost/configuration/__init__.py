"""The effective configuration: built-in defaults, a TOML file, fragments beside it, what the machine was told to
choose, the environment and the command line, in that order.

``load_configuration`` reads and checks everything that needs no plugin's code; the plugins' own settings are checked by
the extension package when plugins are built. Every refusal is a ConfigError that names file, key, value given, values
allowed and the nearest name.
"""

from polyhost.configuration.loading import Loaded, load_configuration
from polyhost.configuration.shipped import SHIPPED_PLUGINS

__all__ = ["SHIPPED_PLUGINS", "Loaded", "load_configuration"]
