"""Whatever the text: a graph or a CompileError, never another exception."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cnnc.diagnostics import CODES, CompileError, Diagnostic, Source, render, render_json
from cnnc.frontend import format_spec, parse, read_source, resolve
from cnnc.resources import resource

LENET = read_source(resource("specs", "lenet.cnn")).text
BRANCHES = """
model m(n=8, deep=yes) {
    input image: float32[n, 16, 16]
    main = stem: conv(n, 3x3, pad=same) -> relu -> conv(n, 3x3, pad=[1, (0, 2)])
    side = conv(n if deep else 2, 1x1, pad=(0, 1)); joined = add(main, side)
    joined -> maxpool(2, stride=1x2) -> flatten
    a = dense(4, init=constant(0.1)); b = dense(5, bias=no)
    output a, b
}
"""
BLOCKS = """
let wide = 4; let k = 3x3
block residual(filters, stride=1, act=yes) {
    main = conv(filters, k, stride=stride, pad=same, bias=no) -> relu
    side = conv(filters, 1x1, stride=stride)
        if stride != 1 else identity
    add(main, side) -> relu if act else add(main, side)
}
block twice(n, skip) { residual(n) -> residual(n); a = identity; concat(a, skip) -> conv(n, 1) }
model m(n=2, deep=no) {
    input image: float32[4, 8, 8]
    input other: uint8[4, 8, 8]
    image -> residual(wide)
    s: repeat 2 { residual(wide); l: relu; x = relu; x -> relu }
    repeat i in 1..n { residual(max(i, wide), stride=1 if i < 2 else 2); z: relu if deep else tanh }
    small = identity
    last: twice(wide, small) if not deep else identity -> twice(floor(wide / 2), small)
    a, b = split(2)
    heads = a -> flatten -> dense(3)
    tails = b -> flatten -> dense(2); extra = other -> relu
    output heads, tails, extra
}
model other { input x: float32[2]; dense(2) }
train m { loss mse(output=heads, weight=0.5); loss l1(output=tails); optimizer sgd(0.1) }
"""
WORDS = """
    -> ( ) { } [ ] , : ; = == if else model train input output add concat relu conv dense repeat let
    block import not and or 9**9**9 1/0 5x5 0 -1 0.5 1e999 99999999999999999999 x " # * ** / % same
    flatten main stem a a= n yes i in .. repeat{} block{} residual twice(2) split(2) a, b = s: max(
    let     output= weight= skip 0..9 import"a"
"""
CHARACTERS = ("\n", "\n->", "\t", "\0", "é", "\ud800", "\u2028", "repeat 3 {", '"x"')
PIECES = (*WORDS.split(), *CHARACTERS)


def survives(text: str) -> None:
    source = Source("hostile.cnn", text)
    diagnostics: tuple[Diagnostic, ...] = ()
    try:
        spec = parse(source)
        assert parse(Source("printed.cnn", format_spec(spec))) == spec
        assert resolve(spec, "m" if len(spec.models) > 1 else None).outputs
    except CompileError as error:
        diagnostics = error.diagnostics
        render(diagnostics, color=True)
        render_json(diagnostics)
    assert {d.code for d in diagnostics} <= set(CODES)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from((LENET, BRANCHES, BLOCKS, BLOCKS)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        match draw(st.integers(0, 2)):
            case 0:
                text = text[:place] + draw(st.sampled_from(PIECES)) + text[place:]
            case 1:
                text = text[:place] + text[place + draw(st.integers(1, 12)) :]
            case _:
                start = draw(st.integers(0, len(text)))
                text = text[:place] + text[start : start + 30] + text[place:]
    return text


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_mutated_specs(text: str) -> None:
    survives(text)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join))
def test_random_pieces_in_a_model(text: str) -> None:
    survives(f"model m(n=1) {{\ninput a: float32[3, 8, 8]\n{text}\n}}")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_random_text(text: str) -> None:
    survives(text)
