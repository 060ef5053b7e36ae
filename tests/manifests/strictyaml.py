"""YAML as a careful reader takes it: a key that is given twice is an error, not a last-one-wins."""

from pathlib import Path

import yaml


class _Loader(yaml.CSafeLoader):
    """The C loader; CRD folders take half a minute with the Python one."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_all(path: Path) -> list:
    """Every non-empty document of a file. Raises yaml.YAMLError."""
    with path.open(encoding="utf-8") as stream:
        return [document for document in yaml.load_all(stream, _Loader) if document is not None]


def load(text: str):
    """One document from a string. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)
