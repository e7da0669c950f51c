"""What a trained role is between its phases: adapter, optimizer, version, and their files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from safetensors.torch import load_file, save_file

from superalign.errors import UserError
from superalign.training.base import ADAPTER

OPTIMIZER, VERSION = "optimizer.pt", "version.json"
EXTRA = "algorithm.pt"  # what an algorithm keeps beside adapter and optimizer


@dataclass
class AdapterState:
    """One role as its last phase left it; the tensors are named as `peft.get_peft_model_state_dict` does."""

    model: str
    tensors: dict[str, torch.Tensor]
    optimizer: torch.optim.AdamW
    version: int = 0
    extra: Any = None

    def save(self, folder: Path, config: PeftConfig) -> None:
        """Write an adapter that plain peft loads, and the state of its training."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, folder / ADAPTER, metadata={"format": "pt"})
        config.save_pretrained(str(folder))
        torch.save(self.optimizer.state_dict(), folder / OPTIMIZER)
        if self.extra is not None:
            torch.save(self.extra, folder / EXTRA)
        (folder / VERSION).write_text(json.dumps({"version": self.version}) + "\n")

    def saved(self, folder: Path) -> dict[str, Any]:
        """What `save` wrote, for `restore`.

        Raises:
            UserError: a file is missing, or the tensors belong to another model or rank.
        """
        for file in (ADAPTER, OPTIMIZER, VERSION):
            if not (folder / file).is_file():
                raise UserError(
                    f"{folder / file} is missing: {folder.parent} holds no saved adapter of role {folder.name!r}"
                )
        tensors = load_file(folder / ADAPTER)
        if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in self.tensors.items()}:
            raise UserError(f"{folder} holds an adapter of another model or rank than model={self.model}")
        return {
            "tensors": tensors,
            "optimizer": torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True),
            "version": json.loads((folder / VERSION).read_text())["version"],
            "extra": torch.load(folder / EXTRA, map_location="cpu", weights_only=True)
            if (folder / EXTRA).is_file()
            else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `saved` found."""
        self.tensors, self.version = state["tensors"], state["version"]
        self.extra = state["extra"]
        self.optimizer.load_state_dict(state["optimizer"])
