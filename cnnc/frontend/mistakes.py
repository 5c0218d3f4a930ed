"""Syntax errors by example: each mistake with wrong texts that show it.

syntax_errors.py matches a failure against them. In EXAMPLES two spaces part one text from the next,
and `;` often stands for a new line, which the grammar takes for the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Mistake:
    """`examples` are what is wrong inside a model, a train block or a file.

    `{entry}` in the help stands for the user's own train entry, put right.
    """

    code: str
    message: str
    help: str | None
    examples: str
    inside: Literal["model", "train", "file"] = "model"

    def texts(self) -> Iterator[str]:
        """The examples as whole files: each at the beginning, and after something right."""
        for text in re.split(r"\s{2,}", self.examples.strip()):
            match self.inside:
                case "model":
                    yield f"model m(n=1) {{{text}}}"
                    yield f"model m(n=1) {{relu;{text}}}"
                case "train":
                    yield f"train {{{text}}}"
                    yield f"train {{lr 1;{text}}}"
                case "file":
                    yield text
                    yield f"model m {{}};{text}"


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "missing-arrow",
        "expected -> or the end of the line, found another layer",
        "put -> between layers",
        """relu relu  conv(6) relu  relu -> relu relu  a: relu relu  a: conv(1) relu  a = relu relu
        relu -> conv(6) relu  a = relu -> relu relu  a = conv(6) relu  a = b: relu relu""",
    ),
    Mistake(
        "syntax-error",
        "chains are not grouped by parentheses",
        "write a -> b -> c; `if` chooses between whole chains, on a line of its own",
        """relu -> (1)  a = relu -> (1)  (1)  a = (1)  relu if n else (1)  relu if yes else (1)
        a: conv(1) -> (1)  relu -> a: (1)""",
    ),
    Mistake(
        "dangling-arrow",
        "a layer should follow ->",
        "where a chain goes over lines, -> stands at the start of the next line",
        """relu ->;relu  relu ->  relu -> -> relu  a = relu ->;relu  relu -> 5
        relu -> 5x5  relu -> = a  relu -> : a  relu -> , a  relu -> "a"  relu -> [1]
        relu -> 0.5  relu -> - 1""",
    ),
    Mistake(
        "dangling-arrow",
        "a layer should stand before ->",
        "start with a layer or a value's name",
        "-> relu  a = -> relu  relu; -> relu  a: -> relu  relu -> a: -> relu",
    ),
    Mistake(
        "spaced-extent",
        "an extent is written without spaces",
        "write it as one word, such as 5x5; sizes that have names as a list, [k, k]",
        """conv(1, 5 x 5)  conv(k=5 x5)  input a: t[5 x 5]  conv([5 x 5])  conv((5 x 5))
        conv(n x n)""",
    ),
    Mistake(
        "missing-comma",
        "expected a comma or ) before this",
        "separate arguments by commas",
        """conv(6 5)  conv(6 a)  conv(6 0.5)  conv(6 5x5)  conv(6 not 1)  conv(6 yes)
        conv(6 "a")  conv(6 [1])
        conv(6 (1))  conv(n 5)  conv(n 0.5)  conv(n 5x5)  conv(n a)  conv(n not 1)  conv(n yes)
        conv(n "a")  conv(n [1])  conv(a=n 5)  conv(a=n 5x5)  conv(a=n a)  conv(a=n yes)
        conv(5x5 5)  conv(5x5 5x5)  conv(5x5 a)  conv(f(1) 5)  conv(f(1) 5x5)  conv(f(1) a)
        conv("a" a)  conv("a" 5)  conv(yes 5)  conv(yes a)  conv([1] a)  conv([1] 5)  conv((1) a)
        conv((1) 5)  conv((1, 2) a)  conv((1, 2) 5)  conv(0.5 a)  conv(0.5 5)  conv(-n a)
        conv(n + n a)  conv(n * n a)  conv(n ** n a)  conv(n < n a)  conv(n == n a)""",
    ),
    Mistake(
        "missing-comma",
        "expected a comma or ] before this",
        "separate the entries by commas",
        """conv([1 2])  conv([n 2])  conv([n m])  conv([1, 2 3])  conv([1, n m])
        input a: t[1 28]  input a: t[n 28]  input a: t[n m]  input a: t[1, 2 3]
        input a: t[1, n m]""",
    ),
    Mistake(
        "missing-value",
        "an argument should stand here",
        "take one comma away",
        "conv(,)  conv(6,,)  conv(6,, 7)  conv(a=1,, b=2)  conv(n,, n)",
    ),
    Mistake(
        "missing-value",
        "a value should follow =",
        "write name=value",
        "conv(a=)  conv(a=, 1)  conv(a= =1)",
    ),
    Mistake(
        "missing-value",
        "a chain should follow =",
        "write name = layer -> layer; a number is named by let: let width = 5",
        "a =  a = ;relu  a = 5  a = 5x5  a = -1  a = 0.5  a = [1]  a = = b",
    ),
    Mistake(
        "missing-value",
        "a value should follow this sign",
        None,
        """conv(n+)  conv(n-)  conv(n*)  conv(n/)  conv(n**)  conv(n<)  conv(n==)  conv(-)
        conv(n and)  conv(n or)  conv(not)  conv(n+, 1)  conv(n*, 1)  conv(n**, 1)  conv(n<, 1)
        conv(n if)  conv(n if n else)  conv([n+])  conv([n*])  conv((n+))  conv((n*))  conv(n* *n)
        conv(n/ /n)  conv(n/ *n)  conv(n< <n)  conv(n< ==n)""",
    ),
    Mistake(
        "syntax-error",
        "a conditional value needs an else",
        "write a if condition else b",
        "conv(1 if n)  conv(1 if n > 1)  conv(1 if n, 2)  conv(1 if n > 1, 2)  conv(1 if n == 1)",
    ),
    Mistake(
        "syntax-error",
        "comparisons do not chain",
        "write a < b and b < c",
        "conv(1 < n < 3)  conv(1 == n == 3)  conv(1 < n == 3)  conv(1 == n < 3)",
    ),
    Mistake(
        "syntax-error",
        "an argument's name is a single word",
        "write name=value; comparison is ==",
        "conv(1=2)  conv(n+1=2)  conv(a=b=2)  conv(5x5=2)  conv(f(1)=2)  conv((a)=2)",
    ),
    Mistake(
        "syntax-error",
        "an input needs a type and a shape",
        "write it as input image: float32[3, 32, 32]",
        """input a  input a;relu  input a:  input a: t  input a: t -> relu  input a = 1
        input a -> relu  input a: t(3)  input a: [3]  input a: t[]  input a[3]  input a(3)
        input: t[3]  input 5  input a t[3]  input a: t 3  input a: 3  input  input = a""",
    ),
    Mistake(
        "syntax-error",
        "an input stands in a statement of its own",
        "start a new line after the ]",
        """input a: t[3] -> relu  input a: t[3] relu  input a: t[3], b: t[3]  input a: t[3] = a
        input a: t[3] 5  input a: t[3] (a)  input a: t[3] : a  input a: t[3] + 1""",
    ),
    Mistake(
        "syntax-error",
        "output takes the names of values",
        "name the value first: scores = ..., then output scores",
        """output  output relu -> relu  output conv(6)  output a,  output a b  output = a  output 5
        output a = relu  output: a  output a: b  output (a)  output [a]""",
    ),
    Mistake(
        "syntax-error",
        "a layer's arguments stand in parentheses",
        "write them as conv(6, 5x5)",
        """conv 6  conv 5x5  conv 0.5  conv [1]  conv "a"  a = conv 6  a = conv 5x5  relu -> conv 6
        relu -> conv 5x5  a: conv 6  a: conv 5x5  relu -> conv [6]  conv(6)[1]  conv(6)(1)""",
    ),
    Mistake(
        "syntax-error",
        "arithmetic belongs inside a layer's parentheses",
        "to add values write add(a, b)",
        """relu + relu  relu * 2  relu - 1  relu / 2  relu ** 2  conv(1) + conv(2)  conv(1) * 2
        conv(1) / 2  conv(1) - 2  a = b + c  a = b * c  a = b / c  a = b - c  relu -> relu + relu
        relu -> relu * 2  relu < 2  conv(1) < 2
        relu and relu  conv(1) and relu  relu or relu""",
    ),
    Mistake(
        "syntax-error",
        "expected -> or the end of the line before this",
        None,
        """conv(1) = a  conv(1), relu  conv(1): relu  relu -> relu = a
        relu -> relu, relu  conv(1) "a"  relu not  conv(1) not  relu input  relu output  relu let
        relu model  relu train  relu repeat  conv(1) input  conv(1) output  conv(1) let
        conv(1) model  conv(1) train  conv(1) repeat  conv(1) == a  relu else
        conv(1) else  a: relu = a  a: relu, relu  a: relu: relu  a = relu = a  a = relu, relu
        conv(1) 5  conv(1) 5x5  conv(1) 0.5""",
    ),
    Mistake(
        "syntax-error",
        "a statement starts with a layer, a name, input or output",
        None,
        """5  5x5  [1]  - 1  = 5  : relu  , relu  "a"  1.5  * 2  == 1  < 1  + 1  {}  ** 2
        / 2  > 1""",
    ),
    Mistake(
        "missing-value",
        "a let needs a name and a value",
        "write it as let width = 32",
        """let  let a  let a =  let 5  let a: 5  let a 5  let = 5  let a = = 5  let a == 5
        let a = ;relu  let a -> relu  let (a)  let a, b = 5  let a = -> relu""",
    ),
    Mistake(
        "syntax-error",
        "a let's value is a number, and -> stands between layers",
        "name a value of layers without let: a = conv(6, 3x3) -> relu",
        "let a = relu -> relu  let a = conv(6) -> relu  let a = 5 -> relu",
    ),
    Mistake(
        "syntax-error",
        "a let ends with its line",
        "start a new line",
        """let a = 5 relu  let a = 5, b  let a = 5 b  let a = 5: b  let a = 5 = b  let a = b c
        let a = b, c  let a = b = c  let a = f(1) b  let a = f(1), b  let a = 5x5 b
        let a = 5 5  let a = b 5  let a = b: 5  let a = 5 {}  let a = b {}""",
    ),
    Mistake(
        "syntax-error",
        "a repeat needs a number of times and a body",
        "write it as repeat 3 { ... } or repeat i in 1..3 { ... }",
        """repeat  repeat 3  repeat 3;relu  repeat {relu}  repeat i  repeat n  repeat n;relu
        repeat i in  repeat i in 1  repeat i in 1 {relu}  repeat i in 1..  repeat i in 1.. {relu}
        repeat i in 1..3  repeat i in 1..3;relu  repeat 1..3 {relu}  repeat i = 1..3 {relu}
        repeat i in ..3 {relu}  repeat 3 relu  repeat 3 -> relu  repeat n -> relu  repeat n relu
        repeat i in {relu}  repeat 3, {relu}  repeat 3: relu  repeat n: relu  repeat n, {relu}
        repeat i in n {relu}  repeat i in 1..n  repeat i in n..  repeat i in 1, 3 {relu}
        repeat 3 times {relu}  repeat n times {relu}  repeat 3 5 {relu}  repeat n 5 {relu}
        repeat = 3  repeat: 3  repeat "a"  repeat -> relu  repeat 3.. {relu}
        repeat i in 1..3 relu  repeat i in 1..n relu  repeat i in 1..3 -> relu
        repeat i in 1 3 {relu}  repeat n.. {relu}  repeat n..3 {relu}""",
    ),
    Mistake(
        "syntax-error",
        "expected the end of the line after }",
        None,
        "repeat 3 {relu} relu  repeat 3 {relu} -> relu  repeat 3 {} {}  repeat 3 {relu} 5",
    ),
    Mistake(
        "syntax-error",
        "`if` chooses between whole chains, and has an else",
        "give the choice a line of its own: dropout(0.5) if deep else identity",
        """relu if n -> relu  relu if n > 1 -> relu  relu if yes -> relu  relu if n == 1 -> relu
        relu if not n -> relu  relu if f(1) -> relu  relu if n and n -> relu
        relu if n or n -> relu  a = relu if n -> relu""",
    ),
    Mistake(
        "syntax-error",
        "a chain with if needs a condition and an else",
        "write a -> b if condition else c; identity is the value itself",
        """relu if  relu if n  relu if n > 1  relu if n;relu  relu if n > 1;relu  a = relu if n
        a = relu if n > 1  relu if else relu  relu if n > 1 relu  relu if n relu
        relu if n == 1  relu if yes  relu if not n
        relu if yes;relu  relu if n == 1;relu  relu if f(1)  relu if n and n  relu if n or n""",
    ),
    Mistake(
        "syntax-error",
        "a chain should follow else",
        "write a -> b if condition else c; identity is the value itself",
        """relu if n else  relu if n > 1 else  relu if n else;relu  relu if n else 5
        relu if n else -> relu  relu if n else = a  relu if n else 5x5""",
    ),
    Mistake(
        "syntax-error",
        "names with a comma between them need = and a chain",
        "write a, b = split(2), or join layers by ->",
        """relu, relu  a, b  a, b -> relu  a, b;relu  a, b: relu  a, relu(1)  a, 5  a,  a, = relu
        a, b if n else relu""",
    ),
    Mistake(
        "syntax-error",
        "expected the model's name",
        "write it as model name { ... }",
        'model {}  model (n=1) {}  model 5 {}  model "a" {}  model  model 5x5 {}  model = a',
        inside="file",
    ),
    Mistake(
        "missing-brace",
        "the { of its body should follow",
        "write it as model name { ... } or block name { ... }",
        """model a  model a;input x  model a(n=1);input x  block a  block a;relu  block a(n=1);relu
        block a(n)""",
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "the { of its body should follow",
        "write it as model name { ... } or block name { ... }",
        """model a: b {}  model a = b {}
        model a b {}  model a(n=1) b {}  model a(n=1): b {}  model a(n=1) -> b {}
        model a -> b {}  block a: b {}  block a = b {}  block a b {}  block a(n=1) b {}
        block a(n=1): b {}  block a(n=1) -> b {}  block a -> b {}""",
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "expected the block's name",
        "write it as block name(filters, stride=1) { ... }",
        'block {}  block (n=1) {}  block 5 {}  block "a" {}  block  block 5x5 {}  block = a',
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "an import is a path in double quotes",
        'write it as import "blocks.cnn"',
        """import  import a  import 5  import (a)  import a.cnn  import = a  import {}  import -> a
        import;a""",
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "an import ends with its line",
        "start a new line; all blocks of the file are imported",
        """import "a" b  import "a", "b"  import "a" "b"  import "a" {}  import "a" 5
        import "a" -> b  import "a" (b)  import "a": b  import "a" = b""",
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "a model's parameters are names with defaults",
        "write them as model name(classes=10, width=32)",
        """model a(5) {}  model a(n=1, 5) {}  model a(,) {}  model a(n: 1) {}  model a(n 1) {}
        model a(n=) {}  model a(n=1,,) {}  model a(n m) {}  model a(n+1) {}
        model a(n==1) {}  model a(5x5) {}  model a("n") {}""",
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "a file holds models, blocks, lets, imports and train blocks",
        "layers stand inside model name { ... }",
        """relu  5  -> relu  (1)  [1]  {}  5x5  1.5  "a"  - 1  = a  , a  : a  + 1
        * 2""",
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "expected the end of the line after }",
        None,
        """model a {} train {}  model a {} model b {}  model a {} relu  train {} train {}
        train {} model a {}  model a {} -> relu  train {} relu  train {} {}""",
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "train is followed by {",
        "write it as train { batch 64; epochs 3 }",
        "train  train (a) {}  train a b {}  train a=1  train 5 {}  train = a  train: a  train;a",
        inside="file",
    ),
    Mistake(
        "syntax-error",
        "a train entry is a key and its value, with a space between them",
        "write it as {entry}",
        "batch = 64  batch: 64  batch -> 64  batch, 64  batch == 64",
        inside="train",
    ),
    Mistake(
        "missing-value",
        "a train entry needs a value after its key",
        "write it as {entry}",
        "batch;epochs 3  batch",
        inside="train",
    ),
    Mistake(
        "syntax-error",
        "a train entry ends with its line",
        "start a new line, or put ; between entries",
        """batch 64 epochs 3  batch 64 3  batch 64, 3  batch 64 -> a  batch 64 = 3  loss a b 3
        loss a 3  loss a, b  loss a -> b  loss f(1) b  loss f(1) 3  loss f(1), b  data "a" b
        data "a" 3  data "a", b  lr 0.5 b  lr 0.5 3  lr 0.5, b  batch 64 else  loss a: b""",
        inside="train",
    ),
    Mistake(
        "syntax-error",
        "a train entry starts with its key",
        "write it as batch 64",
        """64  = 64  (64)  -> a  "a"  [64]  - 1  5x5  , a  : a  0.5  * 2  == 1  ** 2""",
        inside="train",
    ),
)
