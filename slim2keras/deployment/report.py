"""What went to which runtime, and how near its outputs are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from slim2keras.checkpoints.load_plan import remarks
from slim2keras.deployment.proof import Proof
from slim2keras.files.reports import Report, plural


@dataclass(frozen=True, repr=False)
class DeploymentReport(Report):
    """What went to which runtime; written as JSON beside the file.

    Attributes:
        source: Where the model is from: path and files with their SHA-256, of a checkpoint its step too; or its name.
        network: Enough to rebuild it, and what ``convert`` says of it and, of a checkpoint, of every variable.
        output: Path, format, bytes and SHA-256; of a directory the SHA-256 of each of its ``files``.
        proof: How near its outputs are to the model's.
        images: What the network wants of its images, see ``describe_images``.
        options: What was asked.
        facts: What else is to be said of the format.
        versions: Of everything that took part.
        hint: How the file is loaded.
    """

    source: Mapping[str, Any]
    network: Mapping[str, Any]
    output: Mapping[str, Any]
    proof: Proof
    images: Mapping[str, Any]
    options: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""

    def summary(self) -> str:
        """In one line."""
        return f"{self.network['net']} -> {self.output['path']}, {self.proof.describe()}"

    def page(self) -> Iterator[RenderableType]:
        """Network, images, and the proof."""
        yield Text(str(self.network["net"]), "bold")
        yield from remarks(self.network.get("left_out", {}), (), self.network.get("raw_statistics", ()))
        yield Text(f"images: {self.images['words'] or 'as the network takes them; nobody knows their preprocessing'}")
        if scopes := self.network["excluded"]["scopes"]:
            yield Text(f"remark: started afresh when the checkpoint was loaded: {', '.join(scopes)}", "yellow")
        if "folding" in self.facts:
            yield from folding_page(self.facts["folding"])
        yield Text(f"{self.output['bytes'] / 1e6:,.1f} MB; {self.proof.describe()}")
        for remark in self.proof.all_remarks:
            yield Text(f"remark: {remark}", "yellow")

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        return {
            "source": dict(self.source),
            **self.network,
            "output": dict(self.output),
            "proof": self.proof.to_json(),
            "images": dict(self.images),
            "options": dict(self.options),
            **self.facts,
            "versions": dict(self.versions),
        }


def folding_page(folding: Mapping[str, Any], done: str = "folded") -> Iterator[Text]:
    """How many BatchNorm layers are gone, how many stay and why, and what else is gone."""
    gone = {*folding["folded"].values()}
    yield Text(f"{plural(len(gone), 'BatchNorm layer')} {done}, {len(folding['kept'])} stay")
    for name, reason in [*folding["kept"].items()][:1]:
        yield Text(f"{name} stays: {reason}")
    if lost := folding["lost_end_points"]:
        ends = plural(len(lost), "end point")
        yield Text(f"remark: {ends} between a layer and its BatchNorm, first {lost[0]}: gone with it", "yellow")
