"""Pictures of what a run found, from its JSON: PNG files beside it. Needs matplotlib (`scripts/setup bench`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Found = dict[str, Any]
"""The JSON of a part."""


def draw(found: dict[str, Found], directory: Path) -> list[Path]:
    """Draw what there are figures for; return the files."""
    from matplotlib.figure import Figure

    drawn = []
    for name, (part, picture) in PICTURES.items():
        if part not in found:
            continue
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        picture(axes, found[part])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        drawn.append(directory / f"{name}.png")
        figure.savefig(drawn[-1], dpi=110)
    return drawn


def delay_calls(axes: Axes, found: Found) -> None:
    """The front: what an answer's promptness costs in calls to the upstream."""
    for name, each in found["subjects"].items():
        ours = name.startswith("callmode")
        axes.scatter(each["upstream_calls"], each["mean_ms"], color="C1" if ours else "C7", zorder=3)
        axes.annotate(f" {name}", (each["upstream_calls"], each["mean_ms"]), fontsize=8, va="center")
    axes.set(yscale="log", xlabel="calls to the upstream a job", ylabel="mean delay, ms")
    axes.set_title("From a job's end to its answer")
    axes.margins(x=0.3, y=0.1)


def parked_memory(axes: Axes, found: Found) -> None:
    """Memory against parked callers."""
    for name, curve in found["curves_kib"].items():
        style = "-" if name.startswith("callmode") else "--"
        axes.plot([callers for callers, _ in curve], [kib / 1024 for _, kib in curve], style, marker=".", label=name)
    axes.set(xlabel="parked callers", ylabel="MiB added to the process (PSS)", title="Memory of parked callers")
    axes.legend(fontsize=8)


def cpu_jobs(axes: Axes, found: Found) -> None:
    """CPU time against jobs, as the rounds added up."""
    for name, each in found["cpu_us_rounds"].items():
        used = [0.0, *itertools.accumulate(cpu * found["jobs"] / 1e6 for cpu in each)]
        jobs = [number * found["jobs"] for number in range(len(used))]
        axes.plot(jobs, used, "-" if name.startswith("callmode") else "--", marker=".", label=name)
    axes.set(xlabel="whole sync jobs over polling, durable", ylabel="CPU of the gateway, s", title="CPU against jobs")
    axes.legend(fontsize=8)


def recovery(axes: Axes, found: Found) -> None:
    """Jobs followed again after a kill, over time."""
    curve = found["curve"]
    axes.step([at for at, _ in curve], [jobs for _, jobs in curve], where="post", color="C1")
    axes.axvline(2 * found["lease_s"], color="C7", linestyle="--", label="two lease times")
    axes.set(
        xlabel="seconds after kill -9", ylabel="jobs followed again", title="Recovery after a kill", ylim=(0, None)
    )
    axes.legend(fontsize=8)


PICTURES: dict[str, tuple[str, Callable[[Any, Found], None]]] = {
    "delay-calls": ("delay", delay_calls),
    "parked-memory": ("parked", parked_memory),
    "cpu-jobs": ("whole_job", cpu_jobs),
    "recovery": ("recovery", recovery),
}
