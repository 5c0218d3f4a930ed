"""How numbers, extents, paddings and arguments may be written: one value, many spellings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

Pads = Sequence[tuple[int, int]]


@dataclass
class Pen:
    """Writes values at random, by name too where `scope`, the lets and parameters, has them."""

    rng: Random
    scope: dict[str, int] = field(default_factory=dict)

    def flag(self, chance: float = 0.5) -> bool:
        return self.rng.random() < chance

    def count(self, value: int) -> str:
        """An integer that is meant, as an expression."""
        names = [name for name, known in self.scope.items() if known == value]
        if names and self.flag(0.6):
            return self.rng.choice(names)
        if self.flag(0.8):
            return str(value)
        forms = [
            f"{value + 1} - 1",
            f"max({value}, {value - 1})",
            f"min({value}, {value + 2})",
            f"{2 * value} / 2",
            f"{2 * value + 1} // 2",
            f"({value})",
            f"{value} if {value} < {value + 1} else 99",
            f"1000 if no and 1 / 0 > 1 else {value}",
            f"ceil({value} - 0.5)",
            f"round({value}.25)",
            f"{value} ** 1",
            f"-(-{value})",
            f"{value + 7} % ({value + 7} - {value}) + {value - (value + 7) % 7}",
        ]
        return self.rng.choice(forms)

    def number(self, value: float) -> str:
        forms = [str(value), f"{2 * value:.6g} / 2", f"{value:.3e}", f"({value})"]
        return self.rng.choice(forms)

    def yes(self, value: bool) -> str:
        forms = ("yes", "true", "not no", "3 > 2") if value else ("no", "false", "not yes", "3 < 2")
        return forms[0] if self.flag(0.7) else self.rng.choice(forms)

    def extent(self, sizes: Sequence[int]) -> str:
        """One extent per axis."""
        if len(set(sizes)) == 1 and self.flag():
            return self.count(sizes[0])
        if len(sizes) > 1 and self.flag():
            return "x".join(map(str, sizes))
        return f"[{', '.join(map(self.count, sizes))}]"

    def padding(self, pads: Pads) -> str:
        """(before, after) per axis."""
        if all(pair == pads[0] for pair in pads) and self.flag(0.7):
            before, after = pads[0]
            if before == after:
                return "valid" if before == 0 and self.flag(0.3) else str(before)
            return f"({before}, {after})"
        entries = [str(b) if b == a and self.flag() else f"({b}, {a})" for b, a in pads]
        return f"[{', '.join(entries)}]"

    def call(
        self,
        layer: str,
        required: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> str:
        """A layer with its arguments: the required ones by place or by name, options by name."""
        places = [*(required or {}).items()]
        named = [*(options or {}).items()]
        first = self.rng.randint(0, len(places)) if self.flag(0.3) else len(places)
        named += places[first:]
        self.rng.shuffle(named)
        written = [text for _, text in places[:first]] + [f"{n}={text}" for n, text in named]
        comma = "," if written and self.flag(0.05) else ""
        return f"{layer}({', '.join(written)}{comma})" if written else layer

    def chain(self, layers: Sequence[str]) -> str:
        """Layers joined, over several lines at times."""
        text = layers[0]
        for layer in layers[1:]:
            text += self.rng.choice([" -> ", " -> ", "\n        -> ", "  # on\n\n        ->  "])
            text += layer
        return text
