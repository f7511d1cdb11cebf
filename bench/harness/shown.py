"""How benchmarks print what they measured: medians, ratios in rounds, every round's value."""

import statistics


def median(values: list) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def against(values: dict[str, list], peer: str, base: str) -> str:
    """The median of the rounds' ratios of `peer` to `base`, in words; "" when there is none."""
    if peer == base or base not in values:
        return ""
    pairs = zip(values[peer], values[base], strict=True)
    found = median([mine / other for mine, other in pairs if mine and other])
    return f"{found:.2f} x {base}" if found else ""


def text(value: float | None) -> str:
    return "fails" if value is None else f"{value:.3f}"


def show(name: str, rows: dict[str, list[dict[str, float | None]]], bases=("ovs",)) -> None:
    """A line for each value and peer: median, ratios to the `bases`, what each round gave."""
    print(name)
    for what in next(iter(rows.values()))[0]:
        values = {peer: [each[what] for each in found] for peer, found in rows.items()}
        for peer, row in values.items():
            ratios = " ".join(f"{against(values, peer, base):14}" for base in bases)
            spread = " ".join(map(text, row))
            print(f"  {what:24} {peer:11} {text(median(row)):>12}  {ratios} ({spread})", flush=True)
