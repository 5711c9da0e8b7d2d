"""The book's tables, made from the stored measurements."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from hrvlab.forecast import capture_bytes, forecast_votes
from hrvlab.models.heads import cross_attention_layers
from timings.full_size import SD14, VOTES

SDXL: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
MODELS = {"SD 1.4": SD14, "SDXL": SDXL}
# Assumed, not measured: one guided call for one image on a data-center GPU.
ASSUMED_SECONDS = {"SD 1.4": 0.1, "SDXL": 0.5}
CALLS, PUBLISHED, MANY = 51, 2100, 10**6
Table = list[list[str]]


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Build every table of the book, as CSV by name."""
    built = {
        "machine": _machine(results["machines"]["miniature"]),
        "machine-startup": _machine(results["machines"]["startup"]),
        "observing": _observing(results["full_size"]),
        "naive": _naive(results["full_size"]),
        "carried": _carried(results["carried"]),
        "generating": _generating(results["miniature"]),
        "votes": _votes(results["miniature"], results["memory"]),
        "runs": _runs(results["full_size"]),
        "captures": _captures(),
        "startup": _startup(results["startup"]["cpu_seconds"]),
        "busy": _busy(results["startup"]["busy_seconds"]),
    }
    if "compared" in results:
        built["compared"] = _compared(results["compared"])
    if results.keys() >= {"asking", "large_pool", "pools"}:
        built["asking"] = _asking(results["asking"], results["large_pool"])
        built["pools"] = _pools(results["pools"])
    return {name: _csv(table) for name, table in built.items()}


def write(results: dict[str, Any], folder: Path) -> None:
    """Write every table into a folder."""
    folder.mkdir(exist_ok=True)
    for name, text in tables(results).items():
        (folder / f"{name}.csv").write_text(text)


def _machine(machine: dict[str, Any]) -> Table:
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    rows = {name: str(value) for name, value in machine.items() if name != "libraries"}
    return [
        ["this machine", ""],
        *([name, value] for name, value in {**rows, "libraries": libraries}.items()),
    ]


def _observing(full: dict[str, Any]) -> Table:
    rows = [
        [
            name,
            _spread(overheads, "{:.2%}"),
            f"≤ {full['promised'][name]:.1%}" if name in full["promised"] else "",
            _spread(full["once_seconds"][name], "{:z.2f}"),
        ]
        for name, overheads in full["overhead"].items()
    ]
    header = [
        "what is observed", "time in hooks over the rest of the call", "promised",
        "more in the first call, in seconds",
    ]  # fmt: skip
    return [header, *rows]


def _naive(full: dict[str, Any]) -> Table:
    plain = np.array(full["plain_seconds"])
    times = {
        "plain": np.ones_like(plain),
        VOTES: 1 + np.array(full["overhead"][VOTES]),
        "naive": np.array(full["naive_seconds"]) / plain,
    }
    seconds = {"plain": plain, "naive": np.array(full["naive_seconds"])}
    header = ["the same call", "seconds", "times plain", "peak memory above the weights"]
    return [header] + [
        [
            name,
            _spread(seconds[name], "{:.1f}") if name in seconds else "",
            _spread(ratios, "{:.3f}"),
            _bytes(full["peak_bytes"][name]),
        ]
        for name, ratios in times.items()
    ]


def _carried(carried: dict[str, Any]) -> Table:
    header = ["block", "seconds", "words and their votes", "promised"]
    rows = [
        [
            f"{name}, {carried['text']} text and {carried['positions']} image positions",
            _spread(carried["seconds"][name], "{:.2f}"),
            _spread(100 * np.array(overhead), "{:.1f} %"),
            f"≤ {carried['promised']:.0%}",
        ]
        for name, overhead in carried["overhead"].items()
    ]
    return [header, *rows]


def _generating(miniature: dict[str, Any]) -> Table:
    header = ["generated", "seconds per image", "ratio", "to", "promised"]
    return [header] + [
        [
            name,
            _spread(load["seconds"], "{:.3f}"),
            _spread(load["ratios"], "{:.2f}"),
            load["baseline"],
            load["promised"],
        ]
        for name, load in miniature["generating"].items()
    ]


def _votes(miniature: dict[str, Any], memory: dict[str, int]) -> Table:
    votes = miniature["votes"]
    faster = np.array(votes["naive"]) / votes["hrvlab"]
    rows = [
        [f"time in hooks over the rest of the call, {name}", _spread(overheads, "{:.1%}"), "≤ 10%"]
        for name, overheads in miniature["votes_in_situ"].items()
    ]
    work = f"{votes['prompts']} prompts, {votes['steps']} steps"
    comparison = f"{work}: times faster than the naive implementation"
    rows.append([comparison, _spread(faster, "{:.1f}"), "≥ 2"])
    few, many = memory
    rows += [[f"peak memory, {number} prompts", _bytes(memory[number]), ""] for number in memory]
    ratio = memory[many] / memory[few]
    rows.append([f"peak memory, {many} prompts over {few}", f"{ratio:.2f}", "1"])
    return [["votes on the miniature", "measured", "promised"], *rows]


def _compared(shapes: dict[str, Any]) -> Table:
    header = [
        "block", "seconds per call", "hrvlab, times plain", "attention-map-diffusers, times plain",
        "memory above plain, hrvlab", "attention-map-diffusers",
        "one token's map, of the attention that it reads",
    ]  # fmt: skip
    rows = []
    for name, shape in shapes.items():
        least = {one: min(seconds) for one, seconds in shape["seconds"].items()}
        plain, peaks = least.pop("plain"), shape["peak_bytes"]
        above = [max(0, peaks[one] - peaks["plain"]) for one in least]
        rows.append(
            [
                name,
                f"{plain / shape['timed']:.2f}",
                *(f"{one / plain:.3f}" for one in least.values()),
                *map(_bytes, above),
                f"{shape['map']:.1%}" if "map" in shape else "",
            ]
        )
    return [header, *rows]


def _asking(small: dict[str, Any], large: dict[str, Any]) -> Table:
    ratios = np.array(small["recorded"]) / small["plain"]
    scale = small["asked_prompts"] / small["prompts"]
    faster = scale * np.median(small["votes"]) / np.array(small["asked"])
    on_a_gpu = small["asked_prompts"] * CALLS * ASSUMED_SECONDS["SDXL"]
    rows = [
        ["recording over generating, the miniature", _spread(ratios, "{:.3f}"), "≤ 1.05"],
        ["a new concept, the miniature, seconds", _spread(small["asked"], "{:.2f}"), "≤ 1"],
        [
            "times faster than collecting the same votes, the miniature",
            _spread(faster, "{:.0f}"),
            "≥ 500",
        ],
        [
            f"a new concept, SDXL's size ({_bytes(large['bytes'])}), seconds",
            _spread(large["seconds"], "{:.1f}"),
            "≤ 10",
        ],
        [
            f"times faster than its votes on a GPU ({ASSUMED_SECONDS['SDXL']} s a call, assumed)",
            _spread(on_a_gpu / np.array(large["seconds"]), "{:.0f}"),
            "≥ 500",
        ],
        ["peak memory of that process", _bytes(large["memory"]), "≤ 1 GB"],
    ]
    return [["recording and asking", "measured", "promised"], *rows]


def _pools(fidelity: dict[str, Any]) -> Table:
    header = [
        "kept of every prompt and head", "size", "least correlation, and of which concept",
        "of two full runs", "median correlation", "of two full runs",
        "intervals that cover", "median half-width",
    ]  # fmt: skip
    rows = []
    for name, pool in fidelity["pools"].items():
        own, ceiling = np.array(pool["correlation"]), np.min(pool["ceiling"], axis=0)
        least = int(own.argmin())
        rows.append(
            [
                name,
                _bytes(pool["bytes"]),
                f"{own[least]:.3f} ({fidelity['concepts'][least]})",
                f"{ceiling[least]:.3f}",
                f"{np.median(own):.3f}",
                f"{np.median(ceiling):.3f}",
                f"{pool['covered']:.1%}",
                f"{pool['half_width']:.3f}",
            ]
        )
    return [header, *rows]


def _startup(cpu_seconds: dict[str, list[float]]) -> Table:
    rows = [[name, f"{min(values):.2f}"] for name, values in cpu_seconds.items()]
    return [["process", "CPU seconds, the least of all rounds"], *rows]


def _busy(seconds: dict[str, list[float]]) -> Table:
    rows = [[policy, _spread(values, "{:.1f}")] for policy, values in seconds.items()]
    return [["OMP_WAIT_POLICY", "seconds for four images of ten steps"], *rows]


def _runs(full: dict[str, Any]) -> Table:
    """Forecast the published run, and one of a million prompts."""
    overhead = float(np.median(full["overhead"][VOTES]))
    header = [
        "model", "prompts", "devices", "seconds per call", "time", "read", "written",
        "memory per device", "prompts per chunk",
    ]  # fmt: skip
    rows = []
    measured = {"SD 1.4": float(np.median(full["plain_seconds"]))}
    for model, config in MODELS.items():
        with torch.device("meta"):
            unet = UNet2DConditionModel(**config)
        paces = [(measured[model], "measured")] if model in measured else []
        for pace, source in [*paces, (ASSUMED_SECONDS[model], "assumed")]:
            for prompts in (PUBLISHED, MANY):
                for devices in (1, 8):
                    forecast = forecast_votes(
                        head_positions=sum(a.heads for a in cross_attention_layers(unet)),
                        weights=4 * sum(parameter.numel() for parameter in unet.parameters()),
                        prompts=prompts,
                        calls=CALLS,
                        seconds_per_call=pace,
                        overhead=overhead,
                        workers=devices,
                    )
                    rows.append(
                        [
                            model,
                            f"{prompts:,}",
                            str(devices),
                            f"{pace:.3g} ({source})",
                            _hours(forecast.hours),
                            _bytes(forecast.read),
                            _bytes(forecast.written),
                            _bytes(forecast.memory),
                            f"{forecast.chunk:,}",
                        ]
                    )
    return [header, *rows]


def _captures() -> Table:
    """Forecast the size of a capture of one prompt."""
    header = ["model", "attention", "image", "maps of one word", "of these, 16 × 16"]
    rows = []
    for model, config in MODELS.items():
        with torch.device("meta"):
            layers = cross_attention_layers(UNet2DConditionModel(**config))
        pixels = 8 * config["sample_size"]
        sizes = [(layer.grid, layer.grid) for layer in layers]
        some = [size if size == (16, 16) else None for size in sizes]
        every, few = (
            capture_bytes(
                layers,
                prompts=1,
                calls=CALLS,
                tokens=77,
                image_size=(pixels, pixels),
                words=1,
                map_sizes=chosen,
            )
            for chosen in (sizes, some)
        )
        taken = [every["attention"], every["image"], every["maps"], few["maps"]]
        rows.append([model, *map(_bytes, taken)])
    return [header, *rows]


def _spread(values: Sequence[float] | np.ndarray, form: str) -> str:
    """Format the median of rounds, with the minimum and the maximum."""
    median, lowest, highest = (form.format(f(values)) for f in (np.median, np.min, np.max))
    return f"{median} ({lowest}–{highest})"


def _bytes(number: int) -> str:
    if not number:
        return "none"
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 1000:.3g} kB"


def _hours(hours: float) -> str:
    return f"{hours:.1f} hours" if hours < 72 else f"{hours / 24:,.0f} days"


def _csv(table: Table) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()
