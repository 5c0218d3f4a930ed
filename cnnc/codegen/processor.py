"""What each target needs of a processor: where CPUID tells it, and the compiler's name for it.

The levels x86-64-v2, -v3 and -v4 are those of the System V ABI's AMD64 supplement, section 3.1.1.
Says what to ask; the dispatcher in every module (templates/dispatch.c.j2) asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ir.target import TARGETS, Target


@dataclass(frozen=True, slots=True)
class Feature:
    """An instruction set extension: bit `bit` of `word` in templates/dispatch.c.j2.

    `macro` is what GCC and clang predefine where their flags allow it; "" where they do not agree.
    """

    name: str
    word: str
    bit: int
    macro: str = ""


FEATURES: dict[str, tuple[Feature, ...]] = {
    "x86-64-v4": (
        Feature("avx512f", "LEAF_7_EBX", 16, "__AVX512F__"),
        Feature("avx512dq", "LEAF_7_EBX", 17, "__AVX512DQ__"),
        Feature("avx512cd", "LEAF_7_EBX", 28, "__AVX512CD__"),
        Feature("avx512bw", "LEAF_7_EBX", 30, "__AVX512BW__"),
        Feature("avx512vl", "LEAF_7_EBX", 31, "__AVX512VL__"),
    ),
    "x86-64-v3": (
        Feature("fma", "LEAF_1_ECX", 12, "__FMA__"),
        Feature("movbe", "LEAF_1_ECX", 22, "__MOVBE__"),
        Feature("avx", "LEAF_1_ECX", 28, "__AVX__"),
        Feature("f16c", "LEAF_1_ECX", 29, "__F16C__"),
        Feature("bmi1", "LEAF_7_EBX", 3, "__BMI__"),
        Feature("avx2", "LEAF_7_EBX", 5, "__AVX2__"),
        Feature("bmi2", "LEAF_7_EBX", 8, "__BMI2__"),
        Feature("lzcnt", "EXTENDED_ECX", 5, "__LZCNT__"),
    ),
    "x86-64-v2": (
        Feature("sse3", "LEAF_1_ECX", 0, "__SSE3__"),
        Feature("ssse3", "LEAF_1_ECX", 9, "__SSSE3__"),
        Feature("cx16", "LEAF_1_ECX", 13),
        Feature("sse4.1", "LEAF_1_ECX", 19, "__SSE4_1__"),
        Feature("sse4.2", "LEAF_1_ECX", 20, "__SSE4_2__"),
        Feature("popcnt", "LEAF_1_ECX", 23, "__POPCNT__"),
        Feature("lahf", "EXTENDED_ECX", 0),
    ),
    "x86-64": (),
    "aarch64": (),
}
"""What a target needs beyond the next one in TARGETS; the last of a machine has what all have."""

SAVED_STATE = {"x86-64-v4": 0xE6, "x86-64-v3": 0x06, "x86-64-v2": 0, "x86-64": 0, "aarch64": 0}
"""The registers, as bits of XCR0, that the operating system must save: without, AVX is off."""

BASIC_MACROS = {"x86_64": "__x86_64__", "aarch64": "__aarch64__"}


def macros(target: Target) -> frozenset[str]:
    """What a compiler predefines where its flags allow all that `target` needs."""
    levels = [each for each in TARGETS.values() if each.runs_on(target)]
    needed = {feature.macro for each in levels for feature in FEATURES[each.name] if feature.macro}
    return frozenset({BASIC_MACROS[target.machine], *needed})


def least_target(machine: str) -> Target:
    """The target that every processor of that family runs."""
    return [target for target in TARGETS.values() if target.machine == machine][-1]
