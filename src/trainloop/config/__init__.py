"""Configs: the schema of a run, the YAML reader that keeps positions, overrides, and the origin of each value.

Importing this package loads neither torch nor numpy, so that a wrong config is refused at once.
"""

from trainloop.config.dump import dump_yaml
from trainloop.config.load import LoadedConfig, load_config
from trainloop.config.nodes import Origin
from trainloop.config.overrides import Override
from trainloop.config.schema import RunConfig

__all__ = ["LoadedConfig", "Origin", "Override", "RunConfig", "dump_yaml", "load_config"]
