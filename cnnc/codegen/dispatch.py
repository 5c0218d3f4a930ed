"""The targets of a module -> C that chooses among them when Python imports it, and their names.

A module is one file with the code of one target or several, each made by Cython and compiled with
flags of its own, and templates/dispatch.c, compiled for any processor of the family.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cnnc.codegen.processor import FEATURES, SAVED_STATE
from cnnc.ir.target import TARGETS, Target
from cnnc.resources import resource

HEADER = "targets.h"


def part_name(name: str, target: Target, targets: Sequence[Target]) -> str:
    """What the files of one target are called, but for their suffix: `lenet`, `lenet.x86-64-v3`."""
    return name if len(targets) == 1 else f"{name}.{target.name}"


def part_flags(name: str, target: Target) -> tuple[str, ...]:
    """Flags that leave PyInit_NAME to the dispatcher."""
    return ("-DCYTHON_NO_PYINIT_EXPORT", f"-DPyInit_{name}={_init(name, target)}")


def keep_apart(text: str) -> str:
    """Cython's C, made its own file's what it leaves visible and what would clash in the linker."""
    text = re.sub(r"^extern int __pyx_module_is_main_\w+;\n", "", text, flags=re.MULTILINE)
    visible = r"^(?=int __pyx_module_is_main_\w+ = 0;|struct wrapperbase __pyx_wrapperbase_\w+;)"
    return re.sub(visible, "static ", text, flags=re.MULTILINE)


def dispatcher() -> str:
    """The C that Python calls first; it includes `dispatcher_header`."""
    return resource("templates", "dispatch.c").read_text(encoding="utf-8")


def dispatcher_header(name: str, targets: Sequence[Target]) -> str:
    """What the dispatcher of a module with these targets, the most capable first, must know."""
    family = [t for t in reversed(TARGETS.values()) if t.machine == targets[0].machine]
    inits = {target.name: _init(name, target) for target in targets}
    rows = [f'{{"{t.name}", {inits.get(t.name, "NULL")}, {SAVED_STATE[t.name]}}}' for t in family]
    features = [
        f'{{{level}, {feature.word}, {feature.bit}, "{feature.name}"}}'
        for level, target in enumerate(family)
        for feature in FEATURES[target.name]
    ]
    held = [target.name for target in reversed(targets)]
    lines = [
        f"#define INIT PyInit_{name}",
        f'#define MODULE "{name}"',
        f'#define HELD "{" or ".join(filter(None, [", ".join(held[:-1]), held[-1]]))}"',
        f'#define KNOWN "{", ".join(target.name for target in family)}"',
        f"#define LOWEST {family.index(targets[-1])}",
        f"#define TARGET_ROWS {', '.join(rows)}",
        f"#define FEATURE_ROWS {', '.join(features)}",
        *(f"extern PyObject *{init}(void);" for init in inits.values()),
    ]
    return "\n".join(lines) + "\n"


def _init(name: str, target: Target) -> str:
    return f"init_{name}_{target.name.replace('-', '_')}"
