"""A model folder in hub layout: find its graphs and read its JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gapless.errors import CorruptFile, MissingModelFile

GRAPH_STEMS = {
    "text": ("text_model", "model"),
    "image": ("vision_model", "model"),
}
"""Graph file names tried for each modality, best first; each in ``onnx/`` and then in the root."""


class ModelFolder:
    """A local folder that holds an exported model.

    Parameters
    ----------
    path
        Folder with ``config.json``, ``tokenizer.json`` or ``preprocessor_config.json`` and one or
        more graphs, either in ``onnx/`` or beside them.

    Raises
    ------
    MissingModelFile
        The folder does not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise MissingModelFile(
                f"model folder {str(path)!r} does not exist or is no folder; give the path of a "
                "folder in hub layout (tokenizer.json, onnx/*.onnx). A hub model is fetched with "
                f"`hf download {path} --local-dir DIR`, and then DIR is the folder to give"
            )

    def json(self, name: str) -> dict[str, Any]:
        """Return the object in file ``name``, or ``{}`` where the folder has no such file.

        Raises
        ------
        CorruptFile
            The file is no JSON object; the message has its line and column.
        """
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise CorruptFile(f"{path} is not valid JSON ({error}); fetch it again") from error
        if not isinstance(value, dict):
            raise CorruptFile(
                f"{path} holds a {type(value).__name__}, not an object; fetch it again"
            )
        return value

    def require(self, name: str, purpose: str) -> Path:
        """Return the path of file ``name``.

        Raises
        ------
        MissingModelFile
            The folder has no such file; the message says what it is for.
        """
        path = self.path / name
        if not path.is_file():
            raise MissingModelFile(
                f"model folder {str(self.path)!r} has no {name}, which {purpose}; "
                "copy it from the model's repository into the folder"
            )
        return path

    def graph(self, modality: str, variant: str | None = None) -> Path:
        """Return the ONNX file of one modality.

        Parameters
        ----------
        modality
            ``"text"`` or ``"image"``.
        variant
            Suffix of the file name, such as ``"fp16"`` or ``"quantized"``; none is plain float32.

        Raises
        ------
        MissingModelFile
            None of the usual names exists; the message lists them and the graphs that do exist.
        """
        suffix = f"_{variant}" if variant else ""
        names = [
            f"{prefix}{stem}{suffix}.onnx"
            for stem in GRAPH_STEMS[modality]
            for prefix in ("onnx/", "")
        ]
        for name in names:
            if (self.path / name).is_file():
                return self.path / name
        present = sorted(str(p.relative_to(self.path)) for p in self.path.rglob("*.onnx"))
        found = f"it has {', '.join(present)}" if present else "it has no *.onnx file at all"
        raise MissingModelFile(
            f"model folder {str(self.path)!r} has no graph for {modality}: wanted one of "
            f"{', '.join(names)}, {found}; copy or export the graph under one of these names"
            + (", or choose another `variant`" if present else "")
        )

    def text_config(self) -> Mapping[str, Any]:
        """Return the text half of ``config.json``: a dual encoder nests it, others do not."""
        config = self.json("config.json")
        nested = config.get("text_config")
        return {**config, **nested} if isinstance(nested, dict) else config
