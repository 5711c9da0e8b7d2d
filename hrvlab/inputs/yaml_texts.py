"""YAML as users write it: numbers are numbers, and no name stands twice."""

from __future__ import annotations

import re
from typing import Any

import yaml

EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with numbers as YAML 1.2 and JSON write them, and unique names."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping, in which no name may stand twice."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            problem = f"{', '.join(twice)} is given more than once; give each name once"
            raise yaml.constructor.ConstructorError(None, None, problem)
        return super().construct_mapping(node, deep)


# YAML 1.1 demands a point and a sign, so that PyYAML reads 1e-3 as a text.
Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+.0123456789"))


def load_yaml(text: str) -> Any:
    """Return the value that a YAML text stands for.

    Parameters
    ----------
    text : str

    Raises
    ------
    yaml.YAMLError
        If it is not YAML, or a mapping has a name twice.
    """
    return yaml.load(text, Loader)
