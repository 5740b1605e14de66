"""Gives the built package its dependencies from requirements/runtime.in; called by hatchling."""

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class RequirementsHook(MetadataHookInterface):
    """Reads the one list of what the product needs, so that it is not written twice."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Sets `dependencies`; comments and blank lines are left out."""
        lines = Path(self.root, "requirements", "runtime.in").read_text().splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith("#")]
