"""Specs made to take long, to take much, to go round or to lead out, and files to import."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

FILES = {
    "self.cnn": 'import "self.cnn"\nblock s(n) { dense(n) }\n',
    "a.cnn": 'import "b.cnn"\nblock a(n) { b(n) }\n',
    "b.cnn": 'import "a.cnn"\nblock b(n) { a(n) }\n',
    "blocks.cnn": "let wide = 4\nblock twice(n) { dense(n) -> relu -> dense(n) }\n",
    "broken.cnn": "block broken( { -> \n",
    "deep/blocks.cnn": 'import "../blocks.cnn"\nblock deep(n) { twice(n) }\n',
}
"""Files that a case may import, in its folder."""
_STRANGE = """
    . .. / /etc/passwd /dev/zero ../../x.cnn fifo.cnn link.cnn loop.cnn folder.cnn bytes.cnn
    huge.cnn deep/../blocks.cnn ./blocks.cnn blocks.cnn deep/blocks.cnn self.cnn a.cnn broken.cnn
    nowhere.cnn https://example.org/x.cnn BLOCKS.CNN blocks.cnn/ blocks con nul ~/x.cnn $HOME/x.cnn
"""
STRANGE = _STRANGE.split()


def hostile(rng: Random) -> str:
    """What is made to take long, to take much, to go round or to lead out."""
    n = rng.choice((3, 30, 100, 1000, 5000))
    big = rng.choice(("1000000000", "10**18", "9223372036854775807", "99999", "2**40"))
    head = "input x: float32[8]\n"
    body = {
        0: f"repeat {big} {{ repeat {big} {{ dense(8) }} }}",
        1: "repeat 9 { " * n + "relu" + " }" * n,
        2: f"repeat i in 0..{big} {{ dense(i) }}",
        3: "relu -> " * n + "relu",
        4: f"dense({'(' * n}1{')' * n})",
        5: f"dense({'-' * n}1)",
        6: f"dense({'2**' * n}2)",
        7: f"dense({'1+' * n}1)",
        8: f"dense({'1 if yes else ' * n}1)",
        9: f"dense({'not ' * n}yes)",
        10: f"dense({'min(' * n}1{')' * n})",
        11: f"dense([{'[' * n}1{']' * n}])",
        12: "relu if yes else " * n + "relu",
        13: f"a = relu\nadd({'a, ' * n}a)",
        14: f"{'a' * n} = relu",
        15: f"{', '.join(f'a{i}' for i in range(n))} = split({n})",
        16: f"dense({big}) -> dense({big})",
        17: f"reshape([{'1, ' * n}8]) -> conv({big}, {big})",
        18: f"split([{big}, -{big}])",
        19: "; " * n + "\n" * n,
        20: f"repeat {big} {{ let a = 1 }}",
        21: f"repeat {big} {{ }}",
        22: f"scale({'1' * n}) -> scale(1e{'9' * min(n, 50)}) -> scale(0.{'0' * n}1)",
        23: f"reshape([2, 2, 2]) -> upsample({big}) -> upsample(65536) -> zero_pad({big})",
        24: f"scale(round({big} ** 0.5) % 7 // -2 * {big} * {big})",
    }
    if rng.random() < 0.25:
        return blocks(rng, n)
    if rng.random() < 0.25:
        imports = "\n".join(f'import "{rng.choice(STRANGE)}"' for _ in range(rng.randint(1, 3)))
        return f"{imports}\nmodel m {{\n{head}twice(4)\nrelu\n}}\n"
    if rng.random() < 0.05:
        return "# " + "x" * rng.choice((1 << 18, 1 << 20)) + "\n"
    return f"model m {{\n{head}{body[rng.randrange(len(body))]}\n}}\n"


def blocks(rng: Random, n: int) -> str:
    """Blocks that call each other: round, deep, or twice each, which doubles with every level."""
    n = min(n, 300)
    match rng.randrange(4):
        case 0:
            made = [f"block b{i}(k=1) {{ b{(i + 1) % n} }}" for i in range(n)]
        case 1:
            made = [f"block b{i}(k=1) {{ b{i + 1}(k * 2) -> b{i + 1} }}" for i in range(n)]
            made.append(f"block b{n}(k=1) {{ relu }}")
        case 2:
            made = [f"block b{i}(k=1) {{ repeat 9 {{ b{i + 1}(k + 1) }} }}" for i in range(n)]
            made.append(f"block b{n}(k=1) {{ dense(k) }}")
        case _:
            made = [f"block b{i}(k=b{i}) {{ b{i}; b{i + 1}(k=k) }}" for i in range(n)]
    rng.shuffle(made)
    return "\n".join([*made, "model m {\ninput x: float32[8]\nb0\ndense(2)\n}\n"])


def lay_out(folder: Path) -> None:
    """The files that cases import, and things that only look like files."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "bytes.cnn").write_bytes(b"block \xff\xfe { relu }\n")
    (folder / "huge.cnn").write_text("# " + "x" * (1 << 20), encoding="utf-8")
    (folder / "folder.cnn").mkdir()
    (folder / "link.cnn").symlink_to("/etc/passwd")
    (folder / "loop.cnn").symlink_to("loop.cnn")
    os.mkfifo(folder / "fifo.cnn")
